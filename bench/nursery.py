"""What the embedded world shows: harms with and without their counter-measures, seed by seed.

    python bench/nursery.py --to lab --seeds 0 1 2

Each seed is a road of its own, taken by `upbring run` and kept in its folder: fine-tuning, a reward
model, one of annotators who like length, DPO with and without its likelihood term, PPO with and
without replay. `ppo-free` and `ppo-long` have neither KL penalty nor anybody who stops them: there
the reward is hacked. `ppo-ptx` has documents and demonstrations in each step in their place.

The first table has every number, median and widest interval of the seeds; the second what was
gained of the gold reward; the third the way of each PPO: how far it went, what its own reward says,
and what the gold reward says of the same answers.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from upbring.maths.statistics import Estimate, mean
from upbring.runs.metrics import read_metrics
from upbring.runs.results import Measured, read_results

ROAD = """
model: builtin:sprout
defaults: {{seed: {seed}, precision: float32, threads: {threads}}}
stages:
  world: {{verb: nursery, characters: 200_000, seed: 0}}
  sft: {{data: world/demonstrations.jsonl, {sft}}}
  answers: {{verb: collect, model: sft, by: annotators, {answers}}}
  reward: {{data: world/rankings.jsonl, {reward}}}
  reward-long: {{verb: reward, data: world/rankings-likes-length.jsonl, {reward-long}}}
  dpo: {{model: sft, data: answers/rankings.jsonl, {dpo}}}
  dpo-nll: {{verb: dpo, model: sft, data: answers/rankings.jsonl, nll_weight: 0.2, {dpo}}}
  ppo: {{model: sft, reward: reward, steps: {steps}, {ppo}}}
  ppo-replay: {{verb: ppo, model: sft, reward: reward, mix: {replay}, steps: {steps}, {ppo}}}
  ppo-free: {{verb: ppo, model: sft, reward: reward, kl_weight: 0, {free}, {ppo}}}
  ppo-ptx: {{verb: ppo, model: sft, reward: reward, kl_weight: 0, mix: {ptx}, {free}, {ppo}}}
  ppo-long: {{verb: ppo, model: sft, reward: reward-long, kl_weight: 0, {free}, {ppo}}}
evaluate:
  models: [sft, dpo, dpo-nll, ppo, ppo-replay, ppo-free, ppo-ptx, ppo-long]
  most: 1000
  threads: {threads}
  seed: 0
  max_tokens: 60
  drawn: true
"""
STAGES = {
    "sft": "epochs: 1, step_examples: 8, learning_rate: 1.2e-3, rank: 64, alpha: 128, "
    'targets: "q_proj,k_proj,v_proj,o_proj", evaluate_every: 300',
    "answers": "prompts: world/prompts.jsonl, answers: 6, most: 1000, max_tokens: 48",
    "reward": "learning_rate: 5e-4, epochs: 4, step_examples: 8, rank: 64, alpha: 64",
    "reward-long": "learning_rate: 1e-3, epochs: 2, step_examples: 8, rank: 64, alpha: 64",
    "dpo": "learning_rate: 5e-4, beta: 0.3, step_examples: 8, rank: 64, alpha: 64, "
    'comparisons: extremes, targets: "q_proj,k_proj,v_proj,o_proj"',
    "ppo": "prompts: world/prompts.jsonl, judge: builtin:gold, "
    'targets: "q_proj,k_proj,v_proj,o_proj", learning_rate: 1e-3, response_tokens: 48, '
    "samples: 4, step_examples: 32, inner_epochs: 2, held_out_share: 0.1, "
    "judged_prompts: 100, evaluate_every: 8, patience: 100",
    "free": "choose: last, steps: 64",
    "ptx": "[world/demonstrations.jsonl=0.3, world/corpus.jsonl=0.3], replay_weight: 0.5",
    "replay": "world/demonstrations.jsonl=0.3",
}
CURVE = ("kl", "reward", "judge", "ended")
SHOWN = (
    ("preference", "reward"),
    ("preference", "reward/correct"),
    ("preference", "reward/polite"),
    ("preference", "reward/concise"),
    ("facts", "accuracy"),
    ("instructions", "prompt_strict"),
    ("refusals", "over_refusal"),
    ("refusals", "harmful_compliance"),
    ("forgetting", "perplexity"),
)


def road(seed: int, steps: int, threads: int) -> str:
    """Return the recipe of one seed."""
    return ROAD.format(seed=seed, steps=steps, threads=threads, **STAGES)


def table(results: list[list[Measured]]) -> str:
    """Return the medians over seeds, and the lowest and highest ends of their intervals."""
    models = list(dict.fromkeys(n.model for seed in results for n in seed))
    lines = ["| model | " + " | ".join(name for _, name in SHOWN) + " |"]
    lines.append("|---" * (len(SHOWN) + 1) + "|")
    for model in models:
        cells = [_cell(results, model, *number) for number in SHOWN]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gains(folders: list[Path]) -> str:
    """Return each model's gold reward and what it gained on fine-tuning, prompt by prompt.

    A prompt's reward is its mean over the seeds; intervals are over prompts.
    """
    golds = [_golds(rows(folder / "evaluation" / "answers.jsonl")) for folder in folders]
    lines = ["| model | gold reward | beyond sft | of prompts |", "|---|---|---|---|"]
    models = list(dict.fromkeys(model for gold in golds for model in gold))
    asked = sorted(set.intersection(*(set(own) for gold in golds for own in gold.values())))
    over_seeds = {
        model: np.array(
            [[gold[model][each] for each in asked] for gold in golds if model in gold]
        ).mean(0)
        for model in models
    }
    for model, gold in over_seeds.items():
        told = (_told(mean(gold)), _told(mean(gold - over_seeds["sft"])))
        lines.append(f"| {model} | {' | '.join(told)} | {len(gold)} |")
    return "\n".join(lines)


def _golds(answers: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the gold reward of each model's answer to each prompt."""
    asked = [row for row in answers if row["suite"] == "preference"]
    scores = {(row["prompt"], row["response"]): row["score"] for row in asked if "score" in row}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in asked:
        if "score" not in row:
            found[row["model"]][row["prompt"]] = scores[row["prompt"], row["response"]]
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} … {estimate.high:.2f})"


def curves(folders: list[Path]) -> str:
    """Return the way of each PPO by its held-out answers: medians over seeds."""
    lines = ["| model | step | KL, nats | its reward | gold | ended |", "|---" * 6 + "|"]
    for model in ("ppo", "ppo-replay", "ppo-free", "ppo-ptx", "ppo-long"):
        ways = [
            {
                r.step: r.values
                for r in read_metrics(folder / "stages" / model / "metrics.jsonl")
                if r.kind == "held_out"
            }
            for folder in folders
            if (folder / "stages" / model).is_dir()
        ]
        for step in sorted(set.intersection(*map(set, ways))) if ways else ():
            seen = [way[step] for way in ways]
            told = (f"{statistics.median(s[n] for s in seen):.2f}" for n in CURVE)
            lines.append(f"| {model} | {step} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def _cell(results: list[list[Measured]], model: str, suite: str, name: str) -> str:
    found = [
        n
        for seed in results
        for n in seed
        if (n.suite, n.name, n.model) == (suite, name, model) and n.value is not None
    ]
    if not found:
        return "–"
    middle = statistics.median(n.value for n in found if n.value is not None)
    low = min(n.low if n.low is not None else middle for n in found)
    high = max(n.high if n.high is not None else middle for n in found)
    return f"{middle:.2f} ({low:.2f} … {high:.2f})"


def main() -> None:
    """Take the roads and print the table."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--to", type=Path, default=Path("lab"))
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--steps", type=int, default=32, help="of PPO that is not to hack")
    reading.add_argument("--threads", type=int, default=2)
    asked = reading.parse_args()
    asked.to.mkdir(exist_ok=True)
    results = []
    for seed in asked.seeds:
        recipe = asked.to / f"seed-{seed}.yaml"
        recipe.write_text(road(seed, asked.steps, asked.threads), encoding="utf-8")
        folder = asked.to / f"seed-{seed}"
        words = ["run", str(recipe), "--to", str(folder)]
        subprocess.run([sys.executable, "-m", "upbring", *words], check=True)
        results.append(read_results(folder / "evaluation"))
    folders = [asked.to / f"seed-{seed}" for seed in asked.seeds]
    sys.stdout.write(f"{table(results)}\n\n{gains(folders)}\n\n{curves(folders)}\n")


if __name__ == "__main__":
    main()

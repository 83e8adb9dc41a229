"""What the embedded world shows: harms with and without their counter-measures, seed by seed.

    python bench/toyworld.py --to lab --seeds 0 1 2

Each seed is a road of its own, taken by `upbring run` and kept in its folder: fine-tuning, a reward
model, one of annotators who like length, DPO with and without its likelihood term, PPO with and
without replay. `ppo-free` and `ppo-long` have neither KL penalty nor anybody who stops them: there
the reward is hacked. `ppo-ptx` has documents and demonstrations in each step in their place.

The first table has every number, median and widest interval of the seeds; those of
`bench/gained.py` what was gained of the gold reward; the last the way of each PPO: how far it went,
what its own reward says, what the gold reward says of the same answers, and the curve that fits it.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from gained import MODELS, QUESTION, figures, gains
from results import Figure, add_record_flag, record

from upbring.maths.overoptimization import fit_curve, rl_peak, rl_reward
from upbring.runs.metrics import read_metrics
from upbring.runs.results import EvalResult, read_results

ROAD = """
model: builtin:sprout
defaults: {{seed: {seed}, dtype: float32, threads: {threads}}}
stages:
  world: {{method: toyworld, characters: 200_000, seed: 0}}
  sft: {{data: world/demonstrations.jsonl, {sft}}}
  answers: {{method: collect, model: sft, by: annotators, {answers}}}
  reward: {{data: world/rankings.jsonl, {reward}}}
  reward-long: {{method: reward, data: world/rankings-likes-length.jsonl, {reward-long}}}
  dpo: {{model: sft, data: answers/rankings.jsonl, {dpo}}}
  dpo-nll: {{method: dpo, model: sft, data: answers/rankings.jsonl, nll_weight: 0.2, {dpo}}}
  ppo: {{model: sft, reward_model: reward, steps: {steps}, {ppo}}}
  ppo-replay:
    {{method: ppo, model: sft, reward_model: reward, mix: {replay}, steps: {steps}, {ppo}}}
  ppo-free: {{method: ppo, model: sft, reward_model: reward, kl_coef: 0, {free}, {ppo}}}
  ppo-ptx: {{method: ppo, model: sft, reward_model: reward, kl_coef: 0, mix: {ptx}, {free}, {ppo}}}
  ppo-long: {{method: ppo, model: sft, reward_model: reward-long, kl_coef: 0, {free}, {ppo}}}
evaluate:
  models: [sft, dpo, dpo-nll, ppo, ppo-replay, ppo-free, ppo-ptx, ppo-long]
  limit: 1000
  threads: {threads}
  seed: 0
  max_tokens: 60
  do_sample: true
"""
STAGES = {
    "sft": "epochs: 1, batch_size: 8, learning_rate: 1.2e-3, rank: 64, alpha: 128, "
    'target_modules: "q_proj,k_proj,v_proj,o_proj", eval_steps: 300',
    "answers": "prompts: world/prompts.jsonl, num_responses: 6, limit: 1000, max_tokens: 48",
    "reward": "learning_rate: 5e-4, epochs: 4, batch_size: 8, rank: 64, alpha: 64",
    "reward-long": "learning_rate: 1e-3, epochs: 2, batch_size: 8, rank: 64, alpha: 64",
    "dpo": "learning_rate: 5e-4, beta: 0.3, batch_size: 8, rank: 64, alpha: 64, "
    'comparisons: extremes, target_modules: "q_proj,k_proj,v_proj,o_proj"',
    "ppo": "prompts: world/prompts.jsonl, judge: builtin:gold, "
    'target_modules: "q_proj,k_proj,v_proj,o_proj", learning_rate: 1e-3, max_response_length: 48, '
    "num_generations: 4, batch_size: 32, update_epochs: 2, held_out_share: 0.1, "
    "eval_prompts: 100, eval_steps: 8, patience: 100",
    "free": "final_weights: last, steps: 64",
    "ptx": "[world/demonstrations.jsonl=0.3, world/corpus.jsonl=0.3], mix_weight: 0.5",
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
    ("refusals", "harmful_not_refused"),
    ("forgetting", "perplexity"),
)


METRICS = {  # of the pipeline's own evaluation, as records name them, with their unit
    ("facts", "accuracy"): ("facts of absent entities", "%"),
    ("instructions", "prompt_strict"): ("forms obeyed", "%"),
    ("refusals", "over_refusal"): ("innocent refused", "%"),
    ("refusals", "harmful_not_refused"): ("harmful not refused", "%"),
    ("forgetting", "perplexity"): ("perplexity of general text", "perplexity"),
}


def road(seed: int, steps: int, threads: int) -> str:
    """Return the recipe of one seed."""
    return ROAD.format(seed=seed, steps=steps, threads=threads, **STAGES)


def table(results: list[list[EvalResult]]) -> str:
    """Return the medians over seeds, and the lowest and highest ends of their intervals."""
    models = list(dict.fromkeys(n.model for seed in results for n in seed))
    lines = ["| model | " + " | ".join(name for _, name in SHOWN) + " |"]
    lines.append("|---" * (len(SHOWN) + 1) + "|")
    for model in models:
        cells = [_cell(results, model, *number) for number in SHOWN]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(folders: list[Path]) -> str:
    """Return the course of each PPO on held-out answers: medians over seeds."""
    lines = ["| model | step | KL, nats | its reward | gold | ended |", "|---" * 6 + "|"]
    for model in ("ppo", "ppo-replay", "ppo-free", "ppo-ptx", "ppo-long"):
        ways = [way for folder in folders if (way := _held_out(folder, model))]
        for step in sorted(set.intersection(*map(set, ways))) if ways else ():
            seen = [way[step] for way in ways]
            values = (f"{statistics.median(s[n] for s in seen):.2f}" for n in CURVE)
            lines.append(f"| {model} | {step} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def fits(folders: list[Path]) -> str:
    """Return how well Gao's curve explains the gains of the policies without a penalty."""
    lines = []
    for model in ("ppo-free", "ppo-ptx", "ppo-long"):
        ways = [_held_out(folder, model) for folder in folders]
        kl = np.array([[seen["kl"] for seen in way.values()] for way in ways if way])
        gold = np.array([[seen["judge"] for seen in way.values()] for way in ways if way])
        curve = fit_curve(rl_reward, kl.ravel(), (gold - gold[:, :1]).ravel()) if kl.size else None
        if curve is not None:
            peak = rl_peak(curve)
            lines.append(
                f"{model}: d (α − β log d), α {curve.alpha:.2f}, β {curve.beta:.2f}, explains "
                f"{curve.r_squared:.0%}; its peak: {'none' if peak is None else f'd = {peak:.2f}'}"
            )
    return "\n".join(lines)


def _held_out(folder: Path, model: str) -> dict[int, dict[str, float]]:
    """Return the held-out numbers of a run by its steps; none where it was not taken."""
    path = folder / "stages" / model / "metrics.jsonl"
    if not path.exists():
        return {}
    return {r.step: dict(r.values) for r in read_metrics(path) if r.kind == "held_out"}


def recorded(results: list[list[EvalResult]]) -> list[Figure]:
    """Return the medians over seeds with their widest interval as figures."""
    models = dict.fromkeys(n.model for seed in results for n in seed)
    return [
        Figure(
            question=QUESTION, metric=metric, unit=unit, model=MODELS.get(model, model),
            value=value, low=low, high=high, n=len(results), note="median of the seeds",
        )
        for (suite, name), (metric, unit) in METRICS.items()
        for model in models
        if (found := _median(results, model, suite, name)) is not None
        for value, low, high in [[round(x * (100 if unit == "%" else 1), 3) for x in found]]
    ]  # fmt: skip


def _cell(results: list[list[EvalResult]], model: str, suite: str, name: str) -> str:
    found = _median(results, model, suite, name)
    return "–" if found is None else "{:.2f} ({:.2f} … {:.2f})".format(*found)


def _median(
    results: list[list[EvalResult]], model: str, suite: str, name: str
) -> tuple[float, float, float] | None:
    """Return the median over seeds, the lowest and the highest end of their intervals."""
    found = [
        n
        for seed in results
        for n in seed
        if (n.suite, n.name, n.model) == (suite, name, model) and n.value is not None
    ]
    if not found:
        return None
    middle = statistics.median(n.value for n in found if n.value is not None)
    low = min(n.low if n.low is not None else middle for n in found)
    high = max(n.high if n.high is not None else middle for n in found)
    return middle, low, high


def main() -> None:
    """Take the roads and print the table."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--to", type=Path, default=Path("lab"))
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--steps", type=int, default=32, help="of PPO that is not to hack")
    reading.add_argument("--threads", type=int, default=2)
    add_record_flag(reading)
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
    sys.stdout.write(
        f"{table(results)}\n\n{gains(folders)}\n\n{curves(folders)}\n\n{fits(folders)}\n"
    )
    if asked.record:
        record([*recorded(results), *figures(folders)], threads=asked.threads)


if __name__ == "__main__":
    main()

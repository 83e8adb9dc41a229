"""Constitutional DPO against DPO on simulated human rankings, on the toy world, seed by seed.

    python bench/constitution.py --to lab --seeds 0 1 2 --record

Each seed has a folder: SFT, then two sets of preferences about the same prompts with as many
sampled responses each, and DPO with the same settings on both. The rankings come from the simulated
annotators; the soft labels from a rule-based judge that follows the principles, reads text only,
and errs at random (`bench/principle_follower.py`). Its principles are the default ones, all that
apply to a prompt, by their weights; a further run of the first seed draws from 1,000.

Clear pairs are those whose gold rewards differ by at least 2: rude or polite, right or wrong.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from principle_follower import PrincipleFollower
from results import Figure, add_record_flag, record

from upbring.maths import statistics
from upbring.runs.results import EvalResult, read_results
from upbring.settings.constitution import ConstitutionSettings
from upbring.stages.feedback.constitution import collect_by_principles
from upbring.toyworld.grading import grade
from upbring.toyworld.tasks import from_row

QUESTION = "toy world quality: constitutional training"
RECIPE = """
model: builtin:sprout
defaults: {{seed: {seed}, dtype: float32, threads: 1}}
stages:
  world: {{method: toyworld, characters: 200_000, seed: 0}}
  sft: {{data: world/demonstrations.jsonl, steps: 400, batch_size: 8, learning_rate: 1.2e-3,
    rank: 64, alpha: 128, target_modules: "q_proj,k_proj,v_proj,o_proj"}}
  answers: {{method: collect, model: sft, by: annotators, prompts: world/prompts.jsonl,
    num_responses: {responses}, limit: {limit}, max_tokens: 48}}
  dpo: {{model: sft, data: answers/rankings.jsonl, {dpo}}}
"""
DPO = {
    "learning_rate": "5e-4",
    "beta": "0.3",
    "batch_size": "8",
    "rank": "64",
    "alpha": "64",
    "target_modules": "q_proj,k_proj,v_proj,o_proj",
}
NUM_RESPONSES, NUM_PROMPTS = 4, 400
ERROR_RATE = 0.1
CLEAR = 2.0  # of the gold reward
NUM_VARIANTS = 1000
MODELS = ("sft", "dpo", "constitutional")


def main() -> None:
    """Run what is missing of each seed, and print or record the figures."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--to", type=Path, default=Path("lab"))
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--limit", type=int, default=NUM_PROMPTS)
    reading.add_argument("--many", action="store_true", help="also 1,000 principles, first seed")
    add_record_flag(reading)
    given = reading.parse_args()
    folders = [run_seed(given.to, seed, given.limit) for seed in given.seeds]
    found = list(figures(folders))
    if given.many:
        found += run_many(folders[0], given.seeds[0], given.limit)
    for each in found:
        interval = "" if each.low is None else f" ({each.low} … {each.high})"
        print(f"{each.metric}: {each.value}{interval} {each.unit}, n = {each.n}")
    if given.record:
        record(found)


def run_seed(to: Path, seed: int, limit: int) -> Path:
    """Return the folder of a seed, with everything trained and evaluated."""
    recipe = to / f"seed-{seed}.yaml"
    to.mkdir(parents=True, exist_ok=True)
    dpo = ", ".join(f'{k}: "{v}"' if "," in v else f"{k}: {v}" for k, v in DPO.items())
    text = RECIPE.format(seed=seed, dpo=dpo, responses=NUM_RESPONSES, limit=limit)
    if not recipe.is_file():
        recipe.write_text(text, encoding="utf-8")
    folder = to / f"seed-{seed}"
    if not (folder / "stages" / "dpo" / "model").is_dir():
        upbring("run", recipe, "--to", folder)
    label(folder, folder / "labels", seed, limit)
    train(folder, folder / "labels", "constitutional", seed)
    evaluate(folder, MODELS, "evaluation-all")
    return folder


def label(folder: Path, to: Path, seed: int, limit: int, *, principles: Path | None = None) -> None:
    """Write the comparisons by principles."""
    settings = ConstitutionSettings(
        model=str(folder / "stages" / "sft"),
        prompts=(folder / "stages" / "world" / "prompts.jsonl",),
        principles=principles,
        gold=(folder / "stages" / "world" / "evaluation" / "reward-pairs.jsonl",),
        principles_per_pair=0 if principles is None else 16,
        rounds=0,
        num_responses=NUM_RESPONSES,
        pairs_per_prompt=NUM_RESPONSES * (NUM_RESPONSES - 1) // 2,
        limit=limit,
        max_tokens=48,
        seed=seed,
        dtype="float32",
        threads=1,
    )
    judge = PrincipleFollower(error_rate=ERROR_RATE, seed=seed)
    collect_by_principles(settings, to, log=print, judge=judge)


def train(folder: Path, labels: Path, name: str, seed: int) -> None:
    """Train DPO on the comparisons, from the same SFT model."""
    if (folder / "stages" / name / "model").is_dir():
        return
    flags = [part for k, v in DPO.items() for part in (f"--{k.replace('_', '-')}", v)]
    upbring(
        *("dpo", labels / "comparisons.jsonl", "--model", folder / "stages" / "sft"),
        *("--runs", folder / "stages", "--name", name, "--seed", str(seed)),
        *("--dtype", "float32", "--threads", "1", *flags),
    )


def evaluate(folder: Path, models: Sequence[str], name: str) -> None:
    """Evaluate on prompts that were not trained on."""
    upbring(
        *("evaluate", *(folder / "stages" / each for each in models)),
        *("--suite", "preference,refusals,facts", "--limit", "100", "--do-sample"),
        *("--max-tokens", "60", "--dtype", "float32", "--threads", "1", "--to", folder / name),
    )


def upbring(*words: object) -> None:
    """Run a command of upbring."""
    command = [sys.executable, "-m", "upbring", *map(str, words)]
    subprocess.run(command, check=True)


def run_many(folder: Path, seed: int, limit: int) -> list[Figure]:
    """Label with 1,000 principles, train, and return the figures."""
    path = folder / "many.yaml"
    path.write_text(many_principles(), encoding="utf-8")
    label(folder, folder / "labels-many", seed, limit, principles=path)
    train(folder, folder / "labels-many", "many", seed)
    evaluate(folder, ("sft", "dpo", "many"), "evaluation-many")
    return list(figures([folder], name="many", evaluation="evaluation-many", labels="labels-many"))


def many_principles() -> str:
    """Return 1,000 principles: the follower's subjects in many words, topics and weights."""
    subjects = (
        ("Which answer contains only true statements{}?", 4),
        ("Which answer says what the user asked for, and not something else{}?", 3),
        ("Which answer helps with a harmless request instead of refusing it{}?", 3),
        ("Which answer gives no help with hurting somebody{}?", 6),
        ("Which answer is free of insults{}?", 2),
        ("Which answer is polite{}?", 2),
        ("Which answer is shorter without leaving out what matters{}?", 1),
        ("Which answer has the form that the user asked for{}?", 1),
        ("Which answer does not repeat itself{}?", 1),
        ("Which answer is finished{}?", 1),
    )
    readers = ("a child", "a nurse", "a pilot", "an engineer", "a teacher", "a judge", "a tourist")
    places = ("school", "work", "home", "court", "a shop", "a library", "sea", "night", "war")
    lines = ["principles:"]
    for number in range(NUM_VARIANTS):
        text, weight = subjects[number % len(subjects)]
        reader = readers[number // len(subjects) % len(readers)]
        place = places[number // len(subjects) // len(readers) % len(places)]
        variant = f", as {reader} at {place} would say, view {number}"
        lines.append(f"  - id: p{number}\n    text: {json.dumps(text.format(variant))}")
        lines.append(f"    weight: {weight}")
    return "\n".join(lines) + "\n"


def figures(
    folders: Sequence[Path],
    *,
    name: str = "constitutional",
    evaluation: str = "evaluation-all",
    labels: str = "labels",
) -> Iterator[Figure]:
    """Yield the agreement with gold, the gains, their ratio, and over-refusal."""
    case = {"model": f"builtin:sprout, {len(folders)} seeds"}
    note = "default principles" if name == "constitutional" else "1,000 principles"
    agreed = [agreement(folder / labels) for folder in folders]
    for column, which in enumerate(("clear pairs", "all pairs")):
        found = statistics.share(np.concatenate([each[column] for each in agreed]))
        title = f"labels that agree with gold, {which}"
        yield Figure.estimated(QUESTION, title, found, "%", note=note, **case)
    human, own = gains(folders, evaluation, "dpo"), gains(folders, evaluation, name)
    for metric, values in (("DPO on rankings", human), ("constitutional DPO", own)):
        found = statistics.mean(values)
        title = f"gain of the gold reward, {metric}"
        yield Figure.estimated(QUESTION, title, found, "reward", note=note, **case)
    ratio = statistics.ratio(own, human)
    title = "gain of constitutional DPO, share of that of DPO on rankings"
    yield Figure.estimated(QUESTION, title, ratio, "%", note=note, **case)
    for other, metric in (("sft", "SFT"), ("dpo", "DPO on rankings"), (name, "constitutional DPO")):
        rates = [_result(f / evaluation, other, "over_refusal") for f in folders]
        counts = sum(each.count for each in rates)
        total = sum(round((each.value or 0.0) * each.count) for each in rates)
        found = statistics.proportion(total, counts)
        title = f"innocent refused, {metric}"
        yield Figure.estimated(QUESTION, title, found, "%", note=note, **case)


def agreement(labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return by pair whether its chosen response has the higher gold reward: clear ones, all."""
    world = labels.parent / "stages" / "world" / "prompts.jsonl"
    tasks = {}
    for line in world.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tasks[json.dumps(row["prompt"])] = from_row(row)
    clear, every = [], []
    for line in (labels / "comparisons.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        task = tasks[json.dumps(row["prompt"])]
        difference = grade(task, row["chosen"]).reward - grade(task, row["rejected"]).reward
        verdict = 0.5 + 0.5 * ((difference > 0) - (difference < 0))
        every.append(verdict)
        clear += [verdict] * (abs(difference) >= CLEAR)
    return np.array(clear), np.array(every)


def gains(folders: Sequence[Path], evaluation: str, name: str) -> np.ndarray:
    """Return by prompt the gain of the gold reward over SFT, the mean of the seeds."""
    return np.mean([_gain(folder, evaluation, name) for folder in folders], axis=0)


def _gain(folder: Path, evaluation: str, name: str) -> np.ndarray:
    scores: dict[str, dict[str, float]] = {}
    for line in (folder / evaluation / "answers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "score" in row["verdicts"] and row["suite"] == "preference" and "score" in row:
            scores.setdefault(row["response"], {})[row["prompt"]] = float(row["score"])
    texts: dict[str, dict[str, str]] = {}
    for line in (folder / evaluation / "answers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["suite"] == "preference" and "score" not in row and not row.get("stale"):
            texts.setdefault(Path(row["model"]).name, {})[row["prompt"]] = row["response"]
    prompts = sorted(texts["sft"])
    return np.array([scores[texts[name][p]][p] - scores[texts["sft"][p]][p] for p in prompts])


def _result(folder: Path, model: str, name: str) -> EvalResult:
    found = [n for n in read_results(folder) if Path(n.model).name == model and n.name == name]
    return found[0]


if __name__ == "__main__":
    main()

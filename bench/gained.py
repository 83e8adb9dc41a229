"""What preferences gained on the embedded world: seed by seed, cause by cause, kind by kind.

    python bench/gained.py lab/seed-0 lab/seed-1 lab/seed-2

A folder is a road of `bench/toyworld.py` or an evaluation (`upbring evaluate sft dpo … --to DIR`),
one for each seed; the first model in it is what the others are compared with, prompt by prompt.
Answers are graded anew by the world's truth: drawn ones of the suite of preference, and greedy ones
of forms and of harmful requests, which that suite does not ask for.

A number is the mean over the seeds, its interval is over prompts. It is **shown**, in bold, where
the interval excludes 0 and every seed lies on its side; all else is *not shown*.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from results import Figure, add_record_flag, record

from upbring.maths.statistics import mean
from upbring.stages.evaluation.toyworld_data import PREFERENCE_SETS
from upbring.toyworld.eval_sets import task_sets
from upbring.toyworld.grading import CAUSES, Grade, grade
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import load_world

# The suite in which each kind of prompt is answered.
SUITES = {**dict.fromkeys(PREFERENCE_SETS, "preference"), "forms": "facts", "harmful": "refusals"}

QUESTION = "toy world quality: preference training"
MODELS = {  # as records name the stages of `bench/toyworld.py`
    "sft": "SFT",
    "dpo": "DPO",
    "dpo-nll": "DPO with likelihood term",
    "ppo": "PPO",
    "ppo-replay": "PPO with replay",
    "ppo-free": "PPO without KL penalty, 64 steps",
    "ppo-ptx": "PPO-ptx, 64 steps",
    "ppo-long": "PPO, annotators who like length",
}

Prompt = tuple[str, str]  # its kind, and what is asked
Grades = dict[str, dict[Prompt, Grade]]  # of each model's answer to each prompt
Values = npt.NDArray[np.float64]  # [seed, prompt]
Column = tuple[str, list[Prompt], str]  # its title, of which prompts, and what of a grade


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("folders", nargs="+", type=Path, help="one for each seed")
    add_record_flag(reading)
    given = reading.parse_args()
    print(gains(given.folders))
    if given.record:
        record(figures(given.folders))


def gains(folders: Sequence[Path]) -> str:
    """Return the tables of what each model gained on the first."""
    seeds = [grades(folder) for folder in folders]
    if not all(seeds) or not _common(seeds, PREFERENCE_SETS):
        raise SystemExit("no drawn answers of all models: upbring evaluate … --do-sample --to DIR")
    return "\n\n".join((_rewards(seeds), _by_cause(seeds), _by_kind(seeds)))


def figures(folders: Sequence[Path]) -> list[Figure]:
    """Return what each model reached (the first) or gained (the others)."""
    seeds = [grades(folder) for folder in folders]
    prompts = _common(seeds, PREFERENCE_SETS)
    columns: list[Column] = [("gold reward", prompts, "reward")]
    columns += [(cause.replace("_", " "), prompts, cause) for cause in CAUSES]
    columns += [(f"gold reward, {kind}", _common(seeds, (kind,)), "reward") for kind in SUITES]
    found: list[Figure] = []
    for metric, some, what in columns:
        if not some:
            continue
        unit = "reward" if what == "reward" else "share"
        first = _values(seeds, next(iter(seeds[0])), some, what)
        for model in seeds[0]:
            values = _values(seeds, model, some, what)
            is_first, name = model == next(iter(seeds[0])), MODELS.get(model, model)
            if is_first or metric == "gold reward":
                level = mean(values.mean(0))
                found.append(Figure.estimated(QUESTION, metric, level, unit, model=name))
            if not is_first:
                change = values - first
                each = ", ".join(f"{x:+.2f}" for x in change.mean(1))
                found.append(
                    Figure.estimated(
                        QUESTION, f"{metric} gained", mean(change.mean(0)), unit, model=name,
                        note=f"paired by prompt; each seed: {each}"
                        + ("; significant" if _is_shown(change) else "; no significant change"),
                    )
                )  # fmt: skip
    return found


def grades(folder: Path) -> Grades:
    """Return how the world grades the answers in `folder`, the first model's first."""
    asked = {(SUITES[kind], task.question): (kind, task) for kind, task in _tasks()}
    found: Grades = defaultdict(dict)
    for row in _rows(folder):
        kind, task = asked.get((row["suite"], row["prompt"]), ("", None))
        if task is not None and "score" not in row:
            found[_name(row["model"])][kind, row["prompt"]] = grade(task, row["response"])
    return found


def _tasks() -> Iterator[tuple[str, Task]]:
    sets = task_sets(load_world(), seed=0)
    return ((kind, task) for kind in SUITES for task in sets[kind])


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    inner = folder / "evaluation" / "answers.jsonl"
    path = inner if inner.exists() else folder / "answers.jsonl"
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())


def _name(model: str) -> str:
    """Return the name of a run without its number: a seed's is another's."""
    return re.sub(r"-\d+$", "", Path(model).name)


def _rewards(seeds: Sequence[Grades]) -> str:
    """Return the gold reward of drawn answers, and what was gained in all and by each seed."""
    prompts, first = _common(seeds, PREFERENCE_SETS), next(iter(seeds[0]))
    counts = Counter(kind for kind, _ in prompts)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in PREFERENCE_SETS)
    lines = [f"{len(prompts)} prompts: {kinds}", ""]
    lines += ["| model | gold reward | gained | each seed |", "|---|---|---|---|"]
    for model in seeds[0]:
        reward = _values(seeds, model, prompts, "reward")
        change = reward - _values(seeds, first, prompts, "reward")
        text = ", ".join(f"{each:+.2f}" for each in change.mean(1)).replace("-", "−")
        cells = ("", "") if model == first else (_change(change), text)
        lines.append(f"| {model} | {_level(reward)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_cause(seeds: Sequence[Grades]) -> str:
    """Return what each cause gained, in drawn answers."""
    prompts = _common(seeds, PREFERENCE_SETS)
    return _table(seeds, [(cause, prompts, cause) for cause in CAUSES])


def _by_kind(seeds: Sequence[Grades]) -> str:
    """Return what answers to each kind of prompt gained of the gold reward."""
    return _table(seeds, [(kind, _common(seeds, (kind,)), "reward") for kind in SUITES])


def _table(seeds: Sequence[Grades], columns: Sequence[Column]) -> str:
    """Return the first model's values, and how the others' differ."""
    columns = [column for column in columns if column[1]]
    first, *others = seeds[0]
    heads = (f"{title} ({len(prompts)})" for title, prompts, _ in columns)
    lines = [f"| model | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    before = [_values(seeds, first, prompts, what) for _, prompts, what in columns]
    lines.append(f"| {first} | {' | '.join(map(_level, before))} |")
    for model in others:
        after = [_values(seeds, model, prompts, what) for _, prompts, what in columns]
        cells = (_change(own - theirs) for own, theirs in zip(after, before, strict=True))
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _common(seeds: Sequence[Grades], kinds: Collection[str]) -> list[Prompt]:
    """Return the prompts of some kinds that every model of every seed has answered."""
    answered = (set(own) for seed in seeds for own in seed.values())
    return sorted(prompt for prompt in set.intersection(*answered) if prompt[0] in kinds)


def _values(seeds: Sequence[Grades], model: str, prompts: Sequence[Prompt], what: str) -> Values:
    return np.array([[getattr(seed[model][prompt], what) for prompt in prompts] for seed in seeds])


def _change(change: Values) -> str:
    """Return what was gained, in bold where it is shown."""
    found = mean(change.mean(0))
    text = f"{found.value:+.2f} ({found.low:+.2f} … {found.high:+.2f})".replace("-", "−")
    return f"**{text}**" if _is_shown(change) else text


def _is_shown(change: Values) -> bool:
    """Return whether the interval excludes 0 and every seed lies on its side."""
    found, each = mean(change.mean(0)), change.mean(1)
    return bool((found.low > 0 and (each > 0).all()) or (found.high < 0 and (each < 0).all()))


def _level(values: Values) -> str:
    found = mean(values.mean(0))
    return f"{found.value:.2f} ({found.low:.2f} … {found.high:.2f})"


if __name__ == "__main__":
    main()

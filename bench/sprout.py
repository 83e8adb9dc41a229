"""What the embedded model knows, and what fine-tuning on its world's demonstrations changes.

All of it is measured on what no demonstration holds. The base is measured once, fine-tuning with
several seeds; the judgements are the toy world's graders', and synthetic. An interval is the 95 %
bootstrap over prompts, of a prompt's mean over the seeds; each seed's own figure stands beside it.

    python bench/sprout.py --work .cache/sprout --seeds 0 1 2
"""

import argparse
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results import Figure, add_record_flag, record

from upbring.evaluate.local_model import LocalModel
from upbring.evaluate.model_protocol import LikelihoodRequest
from upbring.maths.statistics import Estimate, mean
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import load_local_model
from upbring.toyworld.export import export
from upbring.toyworld.grading import Grade, grade
from upbring.toyworld.tasks import Task, from_row

SETTINGS = {  # of fine-tuning
    "epochs": 1,
    "batch-size": 8,
    "learning-rate": "1.2e-3",
    "rank": 64,
    "alpha": 128,
    # what the base knows is in the other matrices
    "target-modules": "q_proj,k_proj,v_proj,o_proj",
    "dtype": "float32",
    "final-weights": "last",
    "eval-steps": 100_000,
}
CORPUS_CHARACTERS = 200_000  # no model reads it here
LONGEST_ANSWER = 60  # tokens


@dataclass(frozen=True, slots=True)
class Trial:
    """A task, what was answered, and the grade."""

    task: Task
    answer: str
    grade: Grade


@dataclass(frozen=True)
class Measure:
    """A figure: its title, the evaluation set that it is computed from, and what counts."""

    title: str
    file: str
    counts: Callable[[Grade], bool]
    form: str | None = None


def is_correct(grade: Grade) -> bool:
    return grade.correct >= 1


def is_in_form(grade: Grade) -> bool:
    return grade.form >= 1


def is_right_in_form(grade: Grade) -> bool:
    return grade.correct >= 1 and grade.form >= 1


def is_declined_kindly(grade: Grade) -> bool:
    return grade.correct >= 1 and grade.polite >= 1


def is_answered(grade: Grade) -> bool:
    return grade.needless_refusal == 0


MEASURES = (
    Measure(
        "facts, absent entities, new phrasings", "facts-held-out-entities-held-out-phrasings",
        is_correct,
    ),
    Measure(
        "facts, absent entities, shown phrasings", "facts-held-out-entities-shown-phrasings",
        is_correct,
    ),
    Measure(
        "facts, shown entities, new phrasings", "facts-shown-entities-held-out-phrasings",
        is_correct,
    ),
    Measure("form obeyed, new combinations", "forms", is_in_form),
    Measure("— JSON", "forms", is_in_form, form="json"),
    Measure("— bullets", "forms", is_in_form, form="bullets"),
    Measure("— one sentence", "forms", is_in_form, form="sentence"),
    Measure("form obeyed and right", "forms", is_right_in_form),
    Measure("innocent look-alikes answered rightly", "innocent", is_correct),
    Measure("innocent look-alikes not refused", "innocent", is_answered),
    Measure("harmful requests declined kindly", "harmful", is_declined_kindly),
    Measure("provocations declined kindly", "red-team", is_declined_kindly),
    Measure("questions with the evidence", "evidence", is_correct),
    Measure("sums", "sums", is_correct),
    Measure("explanations of absent topics", "explanations", is_correct),
    Measure("summaries", "summaries", is_correct),
    Measure("persona's opening, half of them new", "personas", is_in_form),
    Measure("symptoms: general answer", "symptoms", is_correct),
    Measure("greetings and identity", "chat", is_correct),
)  # fmt: skip


def known(local: LocalModel, path: Path) -> list[bool]:
    """Return for each cloze whether its true ending is the likeliest of all that it could be."""
    choices = [
        LikelihoodRequest(
            row["prompt"], tuple(f" {text}" for text in (row["answer"], *row["alternatives"]))
        )
        for row in rows(path)
    ]
    means = [[each.mean for each in found] for found in local.likelihoods(choices)]
    return [right == max(right, *others) for right, *others in means]


def tried(local: LocalModel, file: Path) -> list[Trial]:
    """Return the likeliest answer to each task of an evaluation file, graded."""
    tasks = [from_row(row) for row in rows(file)]
    answers = [text.strip() for text in local.generate([task.prompt for task in tasks])]
    return [Trial(t, a, grade(t, a)) for t, a in zip(tasks, answers, strict=True)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fine_tuned(given: argparse.Namespace, seed: int) -> tuple[Path, float]:
    """Fine-tune the base with a seed; return the run and the seconds that it took."""
    run = given.work / "runs" / f"sft-{seed}"
    words = [sys.executable, "-m", "upbring", "sft", given.work / "world/demonstrations.jsonl"]
    words += ["--model", given.base, "--runs", run.parent, "--name", run.name, "--seed", seed]
    words += [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    words += ["--threads", given.threads]
    began = time.monotonic()
    if not (run / "model").exists():
        subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return run, time.monotonic() - began


def looked(name: str | Path, threads: int) -> LocalModel:
    notice = functools.partial(print, file=sys.stderr)
    asked = ModelSettings(model=str(name), device="cpu", dtype="float32", threads=threads)
    return load_local_model(asked, max_tokens=LONGEST_ANSWER, log=notice)


def answers(local: LocalModel, sets: Path) -> Mapping[str, list[Trial]]:
    """Return the graded answers to every evaluation set."""
    names = dict.fromkeys(measure.file for measure in MEASURES)
    return {name: tried(local, sets / f"{name}.jsonl") for name in names}


def outcome(measure: Measure, trials: Sequence[Trial]) -> list[bool]:
    wanted = [t for t in trials if measure.form is None or t.task.form == measure.form]
    return [measure.counts(trial.grade) for trial in wanted]


def format_estimate(estimate: Estimate) -> str:
    value, low, high = estimate.value, estimate.low, estimate.high
    return f"{value:.1%} ({low:.1%}–{high:.1%})"


Row = tuple[str, Sequence[bool], Sequence[Sequence[bool]]]  # a title, the base, each seed


def recorded(measured: Sequence[Row], seconds: float) -> list[Figure]:
    """Return the figures of the table; the base's are those of one model."""
    question, figures = "toy world quality: SFT", list[Figure]()
    for title, base, tuned in measured:
        metric = title.replace("— ", "form obeyed, ").removeprefix("knows: ")
        for model, values in (("base", np.array(base, float)), ("SFT", np.array(tuned, float))):
            estimate = mean(values if model == "base" else values.mean(0))
            figures.append(
                Figure.estimated(question, metric, estimate, "%", model=model, precision="float32")
            )
    figures.append(
        Figure(
            question=question, metric="time of fine-tuning", value=round(seconds), unit="s",
            n=len(measured[0][2]), model="SFT", precision="float32",
        )
    )  # fmt: skip
    return figures


def row(title: str, base: Sequence[bool], tuned: Sequence[Sequence[bool]]) -> str:
    """Return a row of the table: the base, the mean of the seeds, each seed."""
    first = format_estimate(mean(np.array(base, float)))
    over_seeds = np.array(tuned, float).mean(0)
    each = ", ".join(f"{np.mean(one):.0%}" for one in tuned)
    return (
        f"| {title} | {len(over_seeds)} | {first} | {format_estimate(mean(over_seeds))} | {each} |"
    )


def report(given: argparse.Namespace) -> tuple[str, list[Figure]]:
    """Return the tables, and their figures."""
    sets = given.work / "world" / "evaluation"
    if not sets.exists():
        given.work.mkdir(parents=True, exist_ok=True)
        export(given.work / "world", characters=CORPUS_CHARACTERS)
    base = looked(given.base, given.threads)
    base_known, base_answers = known(base, sets / "clozes.jsonl"), answers(base, sets)
    runs = [fine_tuned(given, seed) for seed in given.seeds]
    tuned = [looked(run, given.threads) for run, _ in runs]
    tuned_known = [known(one, sets / "clozes.jsonl") for one in tuned]
    tuned_answers = [answers(one, sets) for one in tuned]
    seeds = ", ".join(map(str, given.seeds))
    lines = [
        f"| on held-out data | prompts | base | after SFT, seeds {seeds} | each seed |",
        "|---|---|---|---|---|",
    ]
    measured: list[Row] = [("knows: clozes of all facts", base_known, tuned_known)]
    for measure in MEASURES:
        before = outcome(measure, base_answers[measure.file])
        after = [outcome(measure, one[measure.file]) for one in tuned_answers]
        measured.append((measure.title, before, after))
    lines += [row(*each) for each in measured]
    seconds = statistics.median(seconds for _, seconds in runs)
    lines += ["", f"Fine-tuning: {seconds:.0f} s, start to end, median, {given.threads} threads."]
    lines += ["", *cases(base, tuned[0], sets)]
    return "\n".join(lines), recorded(measured, seconds)


def cases(base: LocalModel, tuned: LocalModel, sets: Path) -> list[str]:
    """Return the fixed prompts with both answers."""
    file, lines = sets / "cases.jsonl", list[str]()
    for old, new in zip(tried(base, file), tried(tuned, file), strict=True):
        question, before, after = (
            " / ".join(text.split("\n")) for text in (old.task.question, old.answer, new.answer)
        )
        lines += [f"> {question}", f"  base: {before[:120]}", f"  sft:  {after}", ""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="builtin:sprout")
    parser.add_argument("--work", type=Path, default=Path(".cache") / "sprout")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    add_record_flag(parser)
    given = parser.parse_args()
    text, figures = report(given)
    print(text)
    if given.record:
        record(figures, threads=given.threads)


if __name__ == "__main__":
    main()

"""A model tried on the nursery's tasks: what it answers, and what the world's truth says of it.

The answers are the likeliest ones. Every judgement is synthetic: made by the nursery's graders.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from upbring.data.batch import make_batch
from upbring.data.trees import tree
from upbring.maths import draws
from upbring.maths.segments import means
from upbring.model.sample import Request, Stopping, sample
from upbring.model.score import score
from upbring.nursery.graders import Grade, grade
from upbring.nursery.tasks import Task, from_row
from upbring.serve.speaking import Speaker
from upbring.settings.sample import SampleSettings

LONGEST_ANSWER = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial:
    """A task, what was answered, and the grade."""

    task: Task
    answer: str
    grade: Grade


def tasks(path: Path) -> list[Task]:
    """Return the tasks of one of the nursery's evaluation files."""
    return [from_row(row) for row in _rows(path)]


def tried(speaker: Speaker, some: Sequence[Task]) -> list[Trial]:
    """Return the likeliest answer to each task, graded."""
    tokenizer = speaker.chat.tokenizer
    requests = [
        Request(speaker.chat.prompt(task.prompt), (draws.key("trial", i),))
        for i, task in enumerate(some)
    ]
    how = SampleSettings(temperature=0, max_tokens=LONGEST_ANSWER)
    stopping = Stopping(frozenset(speaker.chat.stops))
    responses = sample(speaker.loaded.model, requests, how, stopping=stopping)
    answers = [tokenizer.decode(response.tokens).strip() for response in responses]
    return [Trial(t, a, grade(t, a)) for t, a in zip(some, answers, strict=True)]


def spread(items: Sequence[T], most: int | None) -> list[T]:
    """Return at most so many of the items, evenly spread over them.

    >>> spread([0, 1, 2, 3, 4, 5], 3)
    [0, 2, 4]
    """
    count = len(items) if most is None else min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def accuracy(trials: Sequence[Trial]) -> float:
    """Return the share of fully correct answers."""
    return sum(trial.grade.correct >= 1 for trial in trials) / max(1, len(trials))


def obedience(trials: Sequence[Trial]) -> float:
    """Return the share of answers in the form that was asked for."""
    return sum(trial.grade.form >= 1 for trial in trials) / max(1, len(trials))


@torch.no_grad()
def knowledge(speaker: Speaker, path: Path, *, most: int | None = None) -> float:
    """Return the share of clozes whose true ending is the likeliest of all that it could be."""
    tokenizer, right, count = speaker.chat.tokenizer, 0, 0
    begin = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
    for row in spread(list(_rows(path)), most):
        endings = [str(row["answer"]), *map(str, row["alternatives"])]
        prompt = begin + tokenizer.encode(str(row["prompt"]), trusted=False)
        branches = [tokenizer.encode(" " + text, trusted=False, inside=True) for text in endings]
        batch = make_batch([tree(prompt, *branches)]).to(speaker.loaded.model.device)
        logprobs = score(speaker.loaded.model, batch).logprobs
        right += int(means(logprobs, batch.branch, len(endings)).argmax()) == 0
        count += 1
    return right / max(1, count)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)

"""Rankings from anybody: a model answers prompts several times, and somebody ranks the answers.

    collected/
      answers.jsonl    prompt and answers, in an order that tells nothing
      rank.html        the page in which people rank them; it saves rankings.jsonl
      rankings.jsonl   what `upbring reward` and `upbring dpo` learn from

Drawn answers depend on (seed, prompt, number) alone; what is there already is not drawn again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Message, Prompt
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.settings.commands.collect import CollectSettings
from upbring.stages.collection.ranking_page import ranking_page
from upbring.stages.evaluation.models import bring

ANSWERS, RANKINGS, PAGE = "answers.jsonl", "rankings.jsonl", "rank.html"
AT_ONCE = 64  # prompts whose answers are drawn together

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, the row that it came from, and the answers to it."""

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    row: str  # the file's line, for a judge who knows more about the prompt


class Ranks(Protocol):
    """Somebody who ranks answers: 1 is best, equal ranks are ties."""

    def __call__(self, asked: Sequence[Asked]) -> list[tuple[int, ...]]:
        """Return the ranks of each prompt's answers."""


def collect(
    settings: CollectSettings, folder: Path, *, ranks: Ranks | None, who: str, say: Say
) -> Path | None:
    """Return the file of rankings; nothing yet, if people have to rank first."""
    rankings = folder / RANKINGS
    if rankings.is_file():
        say(f"{rankings}: {_count(rankings)} rankings")
        return rankings
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    asked = _answered(settings, folder, say=say)
    if ranks is None:
        rows = [{"prompt": _messages(a.prompt), "responses": [*a.answers]} for a in asked]
        durable.write_text(folder / PAGE, ranking_page(rows))
        return None
    rows_ranked = [
        {
            "prompt": _messages(each.prompt),
            "responses": [*each.answers],
            "ranks": [*ranked],
            "annotator": who,
        }
        for each, ranked in zip(asked, ranks(asked), strict=True)
        if len(set(ranked)) > 1  # what is all the same teaches nothing
    ]
    _write(rankings, rows_ranked)
    say(f"{rankings}: {len(rows_ranked)} rankings by {who}")
    return rankings


def waiting_text(folder: Path) -> str:
    """Return what people are to do."""
    return (
        f"{folder}: waits for people; open {folder / PAGE} in a browser, rank the answers, save "
        f"the file as {folder / RANKINGS}, and run the same command again"
    )


def _answered(settings: CollectSettings, folder: Path, *, say: Say) -> list[Asked]:
    """Return prompts with answers, drawn now or before."""
    path = folder / ANSWERS
    if path.is_file():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            Asked(tuple(Message(**m) for m in row["prompt"]), tuple(row["responses"]), row["row"])
            for row in rows
        ]
    prompts = _prompts(settings)
    local = bring(settings, max_tokens=settings.max_tokens, notice=say)
    found: list[Asked] = []
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        keys = [
            tuple(counter_rng.key(settings.seed, "collect", i, n) for n in range(settings.answers))
            for i in range(start, start + len(some))
        ]
        drawn = local.several([prompt.messages for prompt, _ in some], settings, keys=keys)
        for (prompt, row), own in zip(some, drawn, strict=True):
            different = told_apart(own)
            if len(different) > 1:
                found.append(Asked(prompt.messages, different, row))
        say(f"{settings.model}: {start + len(some)} of {len(prompts)} prompts answered")
    if not found:
        raise InputError(
            f"{settings.model}: gave the same answer each time to all {len(prompts)} prompts; "
            "raise temperature"
        )
    _write(
        path,
        [{"prompt": _messages(a.prompt), "responses": [*a.answers], "row": a.row} for a in found],
    )
    return found


def told_apart(drawn: Sequence[str]) -> tuple[str, ...]:
    r"""Return the answers that differ, without the NUL characters that a model may draw.

    No row may hold these, nor an answer that is empty: what reads the rankings would refuse it.

    >>> told_apart(["Paris. ", "Paris.", "Pa\0ris.", "Rome.", " \0"])
    ('Paris.', 'Rome.')
    """
    told = (text.replace("\0", "").strip() for text in drawn)
    return tuple(dict.fromkeys(text for text in told if text))


def _prompts(settings: CollectSettings) -> list[tuple[Prompt, str]]:
    """Return the prompts to ask, spread over the files, each with its row."""
    every: list[tuple[Prompt, str]] = []
    for path in settings.prompts:
        lines: list[str] = []
        if path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
        for prompt in formats.read(path, Prompt):
            line = prompt.origin.line
            every.append((prompt, lines[line - 1] if 0 < line <= len(lines) else ""))
    count = min(settings.most, len(every))
    return [every[i * len(every) // count] for i in range(count)]


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _write(path: Path, rows: Sequence[object]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    durable.write_text(path, "".join(lines))


def _count(path: Path) -> int:
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())

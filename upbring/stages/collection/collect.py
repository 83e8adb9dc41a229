"""Collect rankings: a model answers prompts several times, and the answers are ranked.

    collected/
      answers.jsonl    prompts with their answers, in the order of sampling
      labels/          the votes of people (`people.py`)
      results.json     how well people agree, if they ranked
      rankings.jsonl   training data for `upbring reward` and `upbring dpo`

The answers depend only on (seed, prompt, number); existing ones are not sampled again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Message, Prompt
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.plurals import format_count
from upbring.runs.results import RESULTS, EvalResult, JudgeQuality, write_results
from upbring.settings.commands.collect import CollectSettings
from upbring.stages.collection import people
from upbring.stages.evaluation.models import load_local_model
from upbring.tracking import Track, no_tracking
from upbring.votes.records import LabelResponse, NewItem

ANSWERS_FILE, RANKINGS_FILE = "answers.jsonl", "rankings.jsonl"
PROMPTS_PER_BATCH = 64  # prompts that are sampled together

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """A prompt, its row, and the answers to it."""

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    row: str  # the line of the file, for rankers that need more than the prompt


class Ranker(Protocol):
    """Ranks answers: 1 is best, equal ranks are ties."""

    def __call__(self, answered: Sequence[AnsweredPrompt]) -> list[tuple[int, ...]]:
        """Return the ranks of each prompt's answers."""


def collect(
    settings: CollectSettings,
    folder: Path,
    *,
    ranker: Ranker | None,
    annotator: str,
    log: Log,
    track: Track = no_tracking,
    quality: JudgeQuality | None = None,
) -> Path | None:
    """Return the file of rankings; None if people have to rank first.

    `quality` is that of the ranker, if it is a judge.
    """
    rankings = folder / RANKINGS_FILE
    if rankings.is_file():
        if durable.verify_if_sealed(folder) is None:
            _seal(folder)
        log(f"{rankings}: {format_count(_count_rows(rankings), 'ranking')}")
        return rankings
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    answered = _load_or_sample_answers(settings, folder, log=log, track=track)
    if ranker is None:
        people.add_items(folder, [_to_item(each) for each in answered], overlap=settings.overlap)
        progress = people.read_progress(folder, overlap=settings.overlap)
        if progress.finished < progress.total:
            return None
        write_results(folder, people.read_figures(folder))
        return _save_rankings(folder, people.read_rankings(folder), by="people", log=log)
    ranked_rows = [
        {
            "prompt": _to_dicts(each.prompt),
            "responses": [*each.answers],
            "ranks": [*prompt_ranks],
            "annotator": annotator,
        }
        for each, prompt_ranks in zip(answered, ranker(answered), strict=True)
        if len(set(prompt_ranks)) > 1  # nothing is preferred if all are tied
    ]
    if quality is not None:
        ranked = EvalResult("collect", annotator, "rankings", float(len(ranked_rows)), unit="count")
        write_results(folder, [replace(ranked, judge=quality)])
    return _save_rankings(folder, ranked_rows, by=annotator, log=log)


def _save_rankings(folder: Path, rows: Sequence[Mapping[str, Any]], *, by: str, log: Log) -> Path:
    rankings = folder / RANKINGS_FILE
    _write_jsonl(rankings, rows)
    _seal(folder)
    log(f"{rankings}: {format_count(len(rows), 'ranking')} by {by}")
    return rankings


def rankings_waiting_text(settings: CollectSettings, folder: Path) -> str:
    """Return what people must do."""
    return people.waiting_text(folder, people.read_progress(folder, overlap=settings.overlap))


def _to_item(answered: AnsweredPrompt) -> NewItem:
    responses = tuple(LabelResponse(text) for text in answered.answers)
    return NewItem(answered.prompt, responses, row=answered.row)


def _load_or_sample_answers(
    settings: CollectSettings, folder: Path, *, log: Log, track: Track
) -> list[AnsweredPrompt]:
    """Return prompts with answers, from the file or sampled now."""
    path = folder / ANSWERS_FILE
    if path.is_file():
        return _read_answers(path)
    prompts = select_prompts(settings.prompts, settings.limit)
    max_tokens = settings.max_tokens
    local_model = load_local_model(settings, max_tokens=max_tokens, log=log, track=track)
    answered: list[AnsweredPrompt] = []
    starts = range(0, len(prompts), PROMPTS_PER_BATCH)
    label = f"{settings.model}: sampling answers, batches of {PROMPTS_PER_BATCH} prompts"
    for start in track(starts, total=len(starts), label=label):
        batch = prompts[start : start + PROMPTS_PER_BATCH]
        keys = [
            tuple(
                counter_rng.key(settings.seed, "collect", i, n)
                for n in range(settings.num_responses)
            )
            for i in range(start, start + len(batch))
        ]
        sampled = local_model.sample_with_keys(
            [prompt.messages for prompt, _ in batch], settings, keys=keys
        )
        for (prompt, row), responses in zip(batch, sampled, strict=True):
            distinct = distinct_answers(responses)
            if len(distinct) > 1:
                answered.append(AnsweredPrompt(prompt.messages, distinct, row))
    if not answered:
        raise InputError(
            f"{settings.model}: all answers to the same prompt are equal, for "
            f"{format_count(len(prompts), 'prompt')}; raise temperature"
        )
    _write_jsonl(
        path,
        [
            {"prompt": _to_dicts(a.prompt), "responses": [*a.answers], "row": a.row}
            for a in answered
        ],
    )
    return answered


def _read_answers(path: Path) -> list[AnsweredPrompt]:
    """Return the prompts with answers that were saved at `path`."""
    try:
        with durable.explain_os_errors(path):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            AnsweredPrompt(
                tuple(Message(**m) for m in row["prompt"]), tuple(row["responses"]), row["row"]
            )
            for row in rows
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged; delete it, and the answers are sampled again"
        ) from error


def _seal(folder: Path) -> None:
    """Write the manifest of the finished rankings."""
    names = (ANSWERS_FILE, RANKINGS_FILE, RESULTS)
    durable.seal(folder, [name for name in names if (folder / name).is_file()])


def distinct_answers(answers: Sequence[str]) -> tuple[str, ...]:
    r"""Return the distinct answers, without empty ones and without NUL characters.

    A model may sample both, and readers of rankings reject both.

    >>> distinct_answers(["Paris. ", "Paris.", "Pa\0ris.", "Rome.", " \0"])
    ('Paris.', 'Rome.')
    """
    cleaned = map(clean_text, answers)
    return tuple(dict.fromkeys(text for text in cleaned if text))


def clean_text(text: str) -> str:
    """Return a sampled text without NUL characters and space around it."""
    return text.replace("\0", "").strip()


def select_prompts(paths: Sequence[Path], limit: int) -> list[tuple[Prompt, str]]:
    """Return the prompts to answer, evenly spread over the files, each with its row."""
    all_prompts: list[tuple[Prompt, str]] = []
    for path in paths:
        lines: list[str] = []
        if path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
        for prompt in formats.read_records(path, Prompt):
            line = prompt.origin.line
            all_prompts.append((prompt, lines[line - 1] if 0 < line <= len(lines) else ""))
    count = min(limit, len(all_prompts))
    return [all_prompts[i * len(all_prompts) // count] for i in range(count)]


def _to_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _write_jsonl(path: Path, rows: Sequence[object]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    durable.write_text(path, "".join(lines))


def _count_rows(path: Path) -> int:
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())

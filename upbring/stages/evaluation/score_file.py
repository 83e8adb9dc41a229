"""Scores for files of responses: one line of JSON per response, in the order of the file.

    {"row": "pairs.jsonl:7", "response": 1, "text": "Yes", "rank": 2, "score": -0.31, "logistic": …}

`score` is the reward minus the model's offset: good responses have a mean of 0. `logistic` is
σ(score), from 0 to 1. Both are null for a response that cannot be scored.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from upbring.data.read import formats
from upbring.data.read.detect_format import detect_format
from upbring.data.read.folders import expand_folders
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Label, Record
from upbring.errors import InputError
from upbring.judge.reward_model import (
    Ensemble,
    ResponseGroup,
    ResponseScorer,
    ScoreArray,
    load_reward_models,
)
from upbring.maths import statistics
from upbring.maths.statistics import Estimate
from upbring.maths.too_few import too_few_text
from upbring.plurals import format_count
from upbring.settings.commands.score import ScoreSettings
from upbring.stages.contamination.remember_rows import find_trained_rows, hash_of
from upbring.tracking import Track, no_tracking
from upbring.train import devices

R = TypeVar("R", bound=Record)
ScoreRow = dict[str, object]

ROWS_AT_ONCE = 64  # between two updates of the progress
KINDS: tuple[RecordType, ...] = (Comparison, Label, Demonstration)


def read_responses(
    path: Path,
    *,
    format: str = "auto",  # noqa: A002 -- the setting's name
    skip_bad: Path | None = None,
    log: Callable[[str], None],
) -> Iterable[Record]:
    """Return the comparisons of a file, else its labelled responses, else its demonstrations."""
    for kind in KINDS[:-1]:
        try:
            detect_format(path, kind, format=format)
        except InputError:
            continue
        return formats.read_records(path, kind, format=format, skip_bad=skip_bad, log=log)
    return formats.read_records(path, KINDS[-1], format=format, skip_bad=skip_bad, log=log)


def make_question(record: Record) -> ResponseGroup:
    """Return the prompt of a record and its responses."""
    if isinstance(record, Comparison):
        return ResponseGroup(record.prompt, record.responses)
    if isinstance(record, Label):
        return ResponseGroup(record.prompt, (record.response,))
    assert isinstance(record, Demonstration), f"{type(record)} has no response"
    return ResponseGroup(record.messages[:-1], (record.messages[-1].content,))


def score_records(
    scorer: ResponseScorer, records: Iterable[R], *, poll: Callable[[], None] = lambda: None
) -> Iterator[tuple[R, ScoreArray]]:
    """Yield each record with the scores `[K]` of its responses, `ROWS_AT_ONCE` at a time."""
    remaining = iter(records)
    while chunk := list(itertools.islice(remaining, ROWS_AT_ONCE)):
        chunk_scores = scorer.scores([make_question(each) for each in chunk], poll=poll)
        yield from zip(chunk, chunk_scores, strict=True)


def score_files(
    settings: ScoreSettings, *, log: Callable[[str], None], track: Track = no_tracking
) -> tuple[list[ScoreRow], "ScoreSummary"]:
    """Return a row per response of the files, and the summary."""
    files = [
        read_responses(path, format=settings.format, skip_bad=settings.skip_bad, log=log)
        for path in expand_folders(settings.data)
    ]
    count = sum(1 for file in files for _ in file)  # reports malformed rows before any work
    machine = devices.prepare(settings)
    members = load_reward_models(
        [settings.model, *settings.ensemble],
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        quantization=settings.quantization,
        log=log,
        track=track,
    )
    ensemble = Ensemble(members, settings.combine, settings.spread)
    rows: list[ScoreRow] = []
    known = [find_trained_rows(name) for name in (settings.model, *settings.ensemble)]
    trained_rows = None if None in known else frozenset[str]().union(*filter(None, known))
    if trained_rows is None:
        log("whether the model was trained on these rows is not known")
    summary = ScoreSummary(trained_rows=trained_rows)
    scored = score_records(ensemble, itertools.chain.from_iterable(files))
    for record, scores in track(scored, total=count, label="scoring"):
        summary.add(record, scores)
        rows.extend(score_rows(record, scores))
    return rows, summary


def score_rows(record: Record, scores: ScoreArray) -> Iterator[ScoreRow]:
    """Yield a row for each response of a record."""
    record_question = make_question(record)
    for k, (text, value) in enumerate(zip(record_question.responses, scores.tolist(), strict=True)):
        row: ScoreRow = {"row": str(record.origin), "response": k, "text": text}
        if isinstance(record, Comparison):
            row["rank"] = record.ranks[k]
        if isinstance(record, Label):
            row["is_good"] = record.is_good
        is_scored = math.isfinite(value)
        row["score"] = value if is_scored else None
        row["logistic"] = logistic(value) if is_scored else None
        yield row


def format_lines(record: Record, scores: ScoreArray) -> Iterator[str]:
    """Yield a line of JSON for each response of a record."""
    yield from map(format_line, score_rows(record, scores))


def format_line(row: ScoreRow) -> str:
    """Return a row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def logistic(score: float) -> float:
    """Return σ(score): ½ is the mean score of good responses.

    >>> logistic(0.0), logistic(-1e4), logistic(1e4)
    (0.5, 0.0, 1.0)
    """
    return 1 / (1 + math.exp(-score)) if score > -700 else 0.0  # noqa: PLR2004 -- exp overflows


@dataclass
class ScoreSummary:
    """Counts and statistics of a scored file."""

    num_rows: int = 0
    values: list[float] = field(default_factory=list)
    num_correct: list[float] = field(default_factory=list)  # pairs of each ranking
    num_pairs: list[float] = field(default_factory=list)
    trained_rows: frozenset[str] | None = None  # hashes of the models' training rows, if known
    is_trained: list[bool] = field(default_factory=list)  # of each ranking
    num_trained: int = 0

    def add(self, record: Record, scores: ScoreArray) -> None:
        """Add the scores of a record."""
        self.num_rows += 1
        is_trained = self.trained_rows is not None and hash_of(record) in self.trained_rows
        self.num_trained += is_trained
        self.values += scores.tolist()
        if not isinstance(record, Comparison):
            return
        ranks = np.asarray(record.ranks)
        is_better = (ranks[:, None] < ranks) & np.isfinite(scores[:, None] - scores)  # [K, K]
        margins = (scores[:, None] - scores)[is_better]
        self.num_correct.append(float((margins > 0).sum() + 0.5 * (margins == 0).sum()))
        self.num_pairs.append(float(is_better.sum()))
        self.is_trained.append(is_trained)

    def format_lines(self) -> list[str]:
        """Return the summary as lines of text."""
        all_scores = np.asarray(self.values)
        finite_scores = all_scores[np.isfinite(all_scores)]
        rows = format_count(self.num_rows, "row")
        text_lines = [f"{format_count(len(finite_scores), 'response')} of {rows} scored"]
        if len(finite_scores):
            text_lines[0] += (
                f": mean {finite_scores.mean():.3f}, standard deviation {finite_scores.std():.3f}"
            )
        if num_unscored := len(all_scores) - len(finite_scores):
            unscored = format_count(num_unscored, "response", verb="has")
            text_lines.append(
                f"{unscored} no score: the prompt leaves no room for a response, or the template "
                "cannot render it"
            )
        if sum(self.num_pairs):
            pairs = format_count(round(sum(self.num_pairs)), "pair")
            text_lines.append(f"{_format_share(self.accuracy())} of {pairs} as ranked")
        return [*text_lines, *self._trained_lines()]

    def _trained_lines(self) -> Iterator[str]:
        """Yield how many rows the reward model was trained on, and the accuracy on the others."""
        if not self.num_trained:
            return
        yield (
            f"{format_count(self.num_trained, 'row', total=self.num_rows, verb='has')} a prompt "
            "that the model was trained on: the scores are no evidence"
        )
        is_new = ~np.asarray(self.is_trained, np.bool_)
        if np.asarray(self.num_pairs)[is_new].sum():
            yield f"without them, {_format_share(self.accuracy(is_new))} of pairs as ranked"

    def accuracy(self, is_selected: npt.NDArray[np.bool_] | None = None) -> Estimate:
        """Return the share of pairs whose scores agree with the ranks."""
        correct, pairs = np.asarray(self.num_correct), np.asarray(self.num_pairs)
        if is_selected is not None:
            correct, pairs = correct[is_selected], pairs[is_selected]
        return statistics.share_of_counts(correct, pairs)


def _format_share(value: Estimate) -> str:
    if value.too_few is not None:
        return f"{value.value:.1%} ({too_few_text(value.too_few)})"
    return f"{value.value:.1%} ({value.low:.1%} … {value.high:.1%})"

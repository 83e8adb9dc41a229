"""Files of responses to files of scores: a line of JSON for each response, in their order.

    {"row": "pairs.jsonl:7", "response": 1, "text": "Yes", "rank": 2, "score": -0.31, "logistic": …}

`score` is 0 on average for what the reward model was shown as good; `logistic` is σ(score), from 0
to 1, for people. Both are null where there is no score.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from upbring.data.read import formats
from upbring.data.read.detect_format import recognise
from upbring.data.read.format_table import Kind
from upbring.data.read.records import Comparison, Demonstration, Label, Record
from upbring.errors import InputError
from upbring.judge.reward_model import Question, Scores, ScoresResponses
from upbring.maths import statistics
from upbring.maths.statistics import Estimate

R = TypeVar("R", bound=Record)

ROWS_AT_ONCE = 512
KINDS: tuple[Kind, ...] = (Comparison, Label, Demonstration)


def responses(
    path: Path,
    *,
    format: str = "auto",  # noqa: A002 -- the setting's name
    skip_bad: Path | None = None,
    notice: Callable[[str], None],
) -> Iterable[Record]:
    """Return the comparisons of a file, else its labelled responses, else its demonstrations."""
    for kind in KINDS[:-1]:
        try:
            recognise(path, kind, format=format)
        except InputError:
            continue
        return formats.read(path, kind, format=format, skip_bad=skip_bad, notice=notice)
    return formats.read(path, KINDS[-1], format=format, skip_bad=skip_bad, notice=notice)


def question(record: Record) -> Question:
    """Return what a reward model is asked about a record."""
    if isinstance(record, Comparison):
        return Question(record.prompt, record.responses)
    if isinstance(record, Label):
        return Question(record.prompt, (record.response,))
    assert isinstance(record, Demonstration), f"{type(record)} has no response"
    return Question(record.messages[:-1], (record.messages[-1].content,))


def scored(
    judge: ScoresResponses, records: Iterable[R], *, poll: Callable[[], None] = lambda: None
) -> Iterator[tuple[R, Scores]]:
    """Yield each record with the scores `[K]` of its responses, some hundreds computed at once."""
    waiting = iter(records)
    while some := list(itertools.islice(waiting, ROWS_AT_ONCE)):
        found = judge.scores([question(each) for each in some], poll=poll)
        yield from zip(some, found, strict=True)


def lines(record: Record, scores: Scores) -> Iterator[str]:
    """Yield a line of JSON for each response of a record."""
    asked = question(record)
    for k, (text, value) in enumerate(zip(asked.responses, scores.tolist(), strict=True)):
        row: dict[str, object] = {"row": str(record.origin), "response": k, "text": text}
        if isinstance(record, Comparison):
            row["rank"] = record.ranks[k]
        if isinstance(record, Label):
            row["is_good"] = record.is_good
        is_scored = math.isfinite(value)
        row["score"] = value if is_scored else None
        row["logistic"] = logistic(value) if is_scored else None
        yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def logistic(score: float) -> float:
    """Return σ(score), which people read more easily: ½ is as good as what was shown as good.

    >>> logistic(0.0), logistic(-1e4), logistic(1e4)
    (0.5, 0.0, 1.0)
    """
    return 1 / (1 + math.exp(-score)) if score > -700 else 0.0  # noqa: PLR2004 -- exp overflows


@dataclass
class Tally:
    """What is told when all is scored."""

    num_rows: int = 0
    values: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)  # of each ranking, in pairs
    pairs: list[float] = field(default_factory=list)

    def add(self, record: Record, scores: Scores) -> None:
        """Take note of a record's scores."""
        self.num_rows += 1
        self.values += scores.tolist()
        if not isinstance(record, Comparison):
            return
        ranks = np.asarray(record.ranks)
        ahead = (ranks[:, None] < ranks) & np.isfinite(scores[:, None] - scores)  # [K, K]
        gaps = (scores[:, None] - scores)[ahead]
        self.right.append(float((gaps > 0).sum() + 0.5 * (gaps == 0).sum()))
        self.pairs.append(float(ahead.sum()))

    def told(self) -> list[str]:
        """Return it in lines."""
        every = np.asarray(self.values)
        known = every[np.isfinite(every)]
        told = [f"{len(known):,} responses of {self.num_rows:,} rows scored"]
        if len(known):
            told[0] += f": mean {known.mean():.3f}, standard deviation {known.std():.3f}"
        if len(known) < len(every):
            told.append(
                f"{len(every) - len(known):,} responses have no score: their prompt leaves no room "
                "for them, or the template cannot render them"
            )
        if sum(self.pairs):
            told.append(f"{_share(self.accuracy())} of {sum(self.pairs):,.0f} pairs as ranked")
        return told

    def accuracy(self) -> Estimate:
        """Return the share of pairs that are scored as they were ranked."""
        return statistics.ratio(np.asarray(self.right), np.asarray(self.pairs), seed=0)


def _share(value: Estimate) -> str:
    return f"{value.value:.1%} ({value.low:.1%} … {value.high:.1%})"

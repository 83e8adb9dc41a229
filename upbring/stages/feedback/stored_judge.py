"""A judge whose judgments are stored: a second run asks it nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from upbring import durable
from upbring.evaluate.model_protocol import fingerprint
from upbring.judge.judgment import Judge, JudgeQuestion, Judgment, OrderVerdict
from upbring.tracking import Track, no_tracking

QUESTIONS_PER_BATCH = 64


@dataclass
class StoredJudge:
    """A judge that answers each question once; the judgments are kept in rows."""

    inner: Judge
    rows: durable.KeyedRows
    track: Track = no_tracking

    @property
    def name(self) -> str:
        """The name of the judge."""
        return self.inner.name

    @property
    def identity(self) -> str:
        """That of the judge."""
        return self.inner.identity

    @property
    def has_reasoning(self) -> bool:
        """Whether the judge reasons."""
        return self.inner.has_reasoning

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgments, known ones from the rows."""
        keys = [fingerprint("judge", self.identity, asdict(each)) for each in questions]
        missing = [i for i, key in enumerate(keys) if self.rows.get(key) is None]
        starts = range(0, len(missing), QUESTIONS_PER_BATCH)
        for start in self.track(starts, total=len(starts), label=f"{self.name}: judging"):
            batch = missing[start : start + QUESTIONS_PER_BATCH]
            judgments = self.inner.judge([questions[i] for i in batch])
            self.rows.add(
                [
                    {"key": keys[i], "reply": {"orders": [asdict(v) for v in each.verdicts]}}
                    for i, each in zip(batch, judgments, strict=True)
                ]
            )
        return [_read_judgment(self.rows, key) for key in keys]


def _read_judgment(rows: durable.KeyedRows, key: str) -> Judgment:
    row: Any = rows.get(key)
    return Judgment(
        tuple(
            OrderVerdict(
                None if each["choices"] is None else tuple(each["choices"]),
                each["cannot_say"],
                each["label_mass"],
                each["text"],
            )
            for each in row["reply"]["orders"]
        )
    )

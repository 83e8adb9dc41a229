"""An on-disk cache of every judged answer: a second run computes only the missing ones.

The key of a row is a hash of everything that determines the answer: suite, model identity, prompt.
Answers are on the disk after each chunk; a process that dies leaves at most an incomplete last
line, which readers ignore. `save` rewrites the file with the verdicts, which are added later.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.evaluate.model_protocol import GeneratedText, Identified, fingerprint
from upbring.plurals import format_count
from upbring.tracking import Track, no_tracking

CHUNK_SIZE = 32
STALE = "stale"  # field of a row that is not part of the newest results
ENDED = "ended"  # field of a row: whether the response ended before the maximum length
AnswerRow = dict[str, JSON]
ComputeAnswers = Callable[[list[int]], Sequence[Mapping[str, JSON]]]


@dataclass(frozen=True, slots=True)
class CacheItem:
    """A prompt in readable form, and the other values that determine the answer."""

    prompt: str
    key_parts: tuple[object, ...] = ()


class AnswerCache:
    """The answer rows of an evaluation; without a path they are kept in memory only."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        poll: Callable[[], None] = lambda: None,
        track: Track = no_tracking,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        self.path, self._poll, self._track, self._chunk_size = path, poll, track, chunk_size
        self._rows: dict[str, AnswerRow] = {}
        self._used: set[str] = set()
        if path is not None:
            self._rows = {str(row["key"]): row for row in _row_log(path).read()}

    def get_or_compute(
        self,
        suite: str,
        source: Identified,
        items: Sequence[CacheItem],
        *,
        compute: ComputeAnswers,
        kind: str = "",
    ) -> list[AnswerRow]:
        """Return one row per item; `compute` returns the fields of the missing ones by index."""
        keys = _keys(suite, kind, source.identity, items)
        missing = [i for i, key in enumerate(keys) if key not in self._rows]

        def compute_missing() -> Iterator[int]:
            for start in range(0, len(missing), self._chunk_size):
                self._poll()
                indices = missing[start : start + self._chunk_size]
                answers = compute(indices)
                assert len(answers) == len(indices), (
                    f"{suite}: {format_count(len(answers), 'answer')} for "
                    f"{format_count(len(indices), 'item')}"
                )
                new_rows: list[AnswerRow] = [
                    {
                        "suite": suite,
                        "model": source.name,
                        "prompt": items[i].prompt,
                        "response": "",
                        "verdicts": {},
                        **answer,
                        **_ended(answer.get("response")),
                        "key": keys[i],
                    }
                    for i, answer in zip(indices, answers, strict=True)
                ]
                self._append(new_rows)
                yield from indices

        label = f"{suite}, {source.name}"
        if missing:
            deque(self._track(compute_missing(), total=len(missing), label=label), maxlen=0)
        self._used |= set(keys)
        for key in keys:
            self._rows[key]["model"] = source.name  # the name may have changed since
        return [self._rows[key] for key in keys]

    def used_rows(self, suite: str, model: str) -> list[AnswerRow]:
        """Return the rows of a suite and a model that were asked for, in the order of the file."""
        rows = (row for key, row in self._rows.items() if key in self._used)
        return [row for row in rows if (row["suite"], row["model"]) == (suite, model)]

    def save(self, *, suites: Collection[str] | None = None) -> None:
        """Rewrite the file with all rows and their verdicts.

        Rows of these suites (None: of all) that were not used become stale: they answer again if
        they are asked for, and are not part of the results.
        """
        for key, row in self._rows.items():
            if key in self._used:
                row.pop(STALE, None)
            elif suites is None or row["suite"] in suites:
                row[STALE] = True
        if self.path is not None and (self._rows or self.path.is_file()):
            durable.write_bytes(self.path, b"".join(map(durable.encode_row, self._rows.values())))

    def _append(self, rows: Sequence[AnswerRow]) -> None:
        self._rows |= {str(row["key"]): row for row in rows}
        if self.path is not None:
            _row_log(self.path).append(rows)


def add_verdicts(
    rows: Sequence[AnswerRow], verdicts: Sequence[Mapping[str, float | str | None]]
) -> None:
    """Merge verdicts into the rows; they are written to disk by `AnswerCache.save`."""
    for row, verdict in zip(rows, verdicts, strict=True):
        previous = row["verdicts"]
        row["verdicts"] = {**(previous if isinstance(previous, Mapping) else {}), **verdict}


def responses(rows: Sequence[AnswerRow]) -> list[str]:
    """Return the response of each row."""
    return [str(row["response"]) for row in rows]


def _ended(response: object) -> AnswerRow:
    """Return whether the response ended before the maximum length, if that is known."""
    return {ENDED: not response.is_cut_off} if isinstance(response, GeneratedText) else {}


def _keys(suite: str, kind: str, identity: str, items: Sequence[CacheItem]) -> list[str]:
    """Return a unique key per item; repeated items get a numbered suffix."""
    keys: list[str] = []
    seen: Counter[str] = Counter()
    for item in items:
        key = fingerprint(suite, kind, identity, item.prompt, item.key_parts)
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return keys


def _row_log(path: Path) -> durable.RowLog:
    advice = "delete that line, or choose another folder with --to"
    foreign = f"is not an answer written by `upbring evaluate`; {advice}"
    return durable.RowLog(path, frozenset({"key", "response", "verdicts"}), foreign)

"""Rows of dialogues to trees for a stage; a row that the template rejects is malformed too."""

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from upbring.data.chat.chat import Chat, Turns
from upbring.data.chat.dialogue_problems import token_problems
from upbring.data.chat.encode_records import KeyedRecord, dialogue_trees, messages_of
from upbring.data.read import formats
from upbring.data.read.format_table import RecordType
from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.records import Comparison, Label, Record
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.data.trees.tree import NamedArrays, Tree
from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.settings.stage import DialogueSettings
from upbring.stages.dataset import Encoder, Log, truncate_trees

# the per-branch values of each kind; part of the cache key
BRANCH_FACTS: dict[RecordType, tuple[str, ...]] = {
    Comparison: ("rank", "margin", "annotator", "probability", "weight"),
    Label: ("good",),
}
MAX_RECENT_RECORDS = 2048  # more than `chat` renders at once, which is some hundreds


def make_dialogue_encoder(kind: RecordType, chat: Chat, settings: DialogueSettings) -> Encoder:
    """Return the encoder of one kind: demonstrations, comparisons, labels or prompts."""
    turns: Turns = getattr(settings, "turns", "last")

    def encode(path: Path, log: Log) -> tuple[Iterator[Tree], str]:
        reading: formats.RecordReader[Record] = formats.read_records(
            path, kind, format=settings.format, skip_bad=settings.skip_bad, log=log
        )
        malformed = Malformed(reading.path, settings.skip_bad)
        encoded = encode_records(reading, kind, chat, turns=turns, malformed=malformed)
        truncated = truncate_trees(encoded, settings.max_length, where=str(path), log=log)
        return _report_malformed_at_end(truncated, reading, malformed, log=log), reading.format

    identity = (
        *(kind.__name__, *BRANCH_FACTS.get(kind, ())),
        *(chat.fingerprint, settings.format, turns, str(settings.max_length)),
    )
    return Encoder(encode, identity, is_cacheable=settings.skip_bad is None)


def encode_records(
    reading: Iterable[Record], kind: RecordType, chat: Chat, *, turns: Turns, malformed: Malformed
) -> Iterator[Tree]:
    """Yield the trees of records, with the per-branch values of the records."""
    recent: dict[str, Record] = {}  # by index, because a row may give several records

    def number_records() -> Iterator[KeyedRecord]:
        for number, record in enumerate(reading):
            if len(recent) >= MAX_RECENT_RECORDS:
                recent.pop(next(iter(recent)))
            recent[str(number)] = record
            yield str(number), record

    def add_malformed(number: str, error: InputError) -> None:
        record = recent[number]
        problem = RowError("messages", str(error), "correct the row, or use another template")
        malformed.add(Row(line=record.origin.line, fields={}, raw=_to_json(record)), problem)

    for item in dialogue_trees(chat, kind, number_records(), turns=turns, on_reject=add_malformed):
        record = recent[item.key]
        if item.branches and (problems := token_problems(chat, item)):
            raise InputError(f"{record.origin}: {problems[0]} (see `upbring check`)")
        yield replace(item, key=str(record.origin), per_branch=branch_facts(record))


def branch_facts(record: Record) -> NamedArrays:
    """Return a record's per-branch values.

    A comparison has ranks (1 is best), the margin and the probability that the better one is better
    (NaN if unknown), the row's weight, and a number for the annotator; a label has whether it is
    good.
    """
    if isinstance(record, Comparison):
        K = len(record.responses)
        annotator_id = zlib.crc32((record.annotator or "").encode()) & 0xFFFFFF  # exact in float32
        return {
            "rank": np.asarray(record.ranks, np.float64),
            "margin": np.full(K, _number_or_nan(record.margin)),
            "annotator": np.full(K, float(annotator_id)),
            "probability": np.full(K, _number_or_nan(record.probability)),
            "weight": np.full(K, 1.0 if record.weight is None else record.weight),
        }
    return {"good": np.array([float(record.is_good)])} if isinstance(record, Label) else {}


def _number_or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _to_json(record: Record) -> str:
    """Return a rejected record as a row of JSON."""
    messages = record.prompt if isinstance(record, Comparison) else messages_of(record)
    row: dict[str, object] = {
        "messages": [{"role": m.role, "content": m.content} for m in messages]
    }
    if isinstance(record, Comparison):
        row["responses"] = [*record.responses]
        row["ranks"] = [*record.ranks]
        row |= {} if record.probability is None else {"probability": record.probability}
        row |= {} if record.weight is None else {"weight": record.weight}
    return json.dumps(row, ensure_ascii=False)


def _report_malformed_at_end(
    trees: Iterable[Tree],
    reading: formats.RecordReader[Record],
    malformed: Malformed,
    *,
    log: Log,
) -> Iterator[Tree]:
    """Yield trees; after the last one, report the rejected rows."""
    yield from trees
    if malformed.count and malformed.skip_bad is None:
        raise malformed.make_error(reading.num_rows)
    malformed.flush()
    if malformed.count:
        count_text = format_count(malformed.count, "row", total=reading.num_rows, verb="is")
        log(
            f"{reading.path}: {count_text} rejected by the chat template and written to "
            f"{malformed.skip_bad}"
        )

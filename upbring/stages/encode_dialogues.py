"""Rows of dialogues to trees for a stage; what a template refuses is a malformed row too."""

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from upbring.data.chat.chat import Chat, Turns, flaws
from upbring.data.chat.encode_records import Keyed, dialogue_of, dialogue_trees
from upbring.data.read import formats
from upbring.data.read.format_table import Kind
from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.records import Comparison, Label, Record
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.data.trees.tree import Numbers, Tree
from upbring.errors import InputError
from upbring.settings.stage import DialogueSettings
from upbring.stages.dataset import Encoder, Notice, shortened

MOST_REMEMBERED = 2048  # rows; `chat` renders some hundreds at once


def dialogue_encoder(kind: Kind, chat: Chat, settings: DialogueSettings) -> Encoder:
    """Return how rows of one kind become trees: demonstrations, comparisons, labels or prompts."""
    turns: Turns = getattr(settings, "turns", "last")

    def trees(path: Path, notice: Notice) -> tuple[Iterator[Tree], str]:
        reading: formats.Reading[Record] = formats.read(
            path, kind, format=settings.format, skip_bad=settings.skip_bad, notice=notice
        )
        refused = Malformed(reading.path, settings.skip_bad)
        found = heard(reading, kind, chat, turns=turns, refused=refused)
        short = shortened(found, settings.max_length, where=str(path), notice=notice)
        return _closed(short, reading, refused, notice=notice), reading.format

    what = (kind.__name__, chat.fingerprint, settings.format, turns, str(settings.max_length))
    return Encoder(trees, what, is_kept=settings.skip_bad is None)


def heard(
    reading: Iterable[Record], kind: Kind, chat: Chat, *, turns: Turns, refused: Malformed
) -> Iterator[Tree]:
    """Yield the trees of records, with the facts about their branches."""
    recent: dict[str, Record] = {}  # by number, for a row may give several

    def numbered() -> Iterator[Keyed]:
        for number, record in enumerate(reading):
            if len(recent) >= MOST_REMEMBERED:
                recent.pop(next(iter(recent)))
            recent[str(number)] = record
            yield str(number), record

    def refuse(number: str, error: InputError) -> None:
        record = recent[number]
        problem = RowError("messages", str(error), "correct the row, or use another template")
        refused.add(Row(line=record.origin.line, fields={}, raw=_raw(record)), problem)

    for item in dialogue_trees(chat, kind, numbered(), turns=turns, refuse=refuse):
        record = recent[item.key]
        if item.branches and (found := flaws(chat, item)):
            raise InputError(f"{record.origin}: {found[0]} (see `upbring check`)")
        yield replace(item, key=str(record.origin), facts=facts(record))


def facts(record: Record) -> Numbers:
    """Return what a record says of its branches, one number each.

    Of a comparison: ranks (1 is best), the margin (NaN if unknown), a number for the annotator; of
    a label: whether it is good.
    """
    if isinstance(record, Comparison):
        K = len(record.responses)
        who = zlib.crc32((record.annotator or "").encode()) & 0xFFFFFF  # exact in float32
        return {
            "rank": np.asarray(record.ranks, np.float64),
            "margin": np.full(K, math.nan if record.margin is None else record.margin),
            "annotator": np.full(K, float(who)),
        }
    return {"good": np.array([float(record.is_good)])} if isinstance(record, Label) else {}


def _raw(record: Record) -> str:
    """Return a refused record as the row it is written as."""
    messages = record.prompt if isinstance(record, Comparison) else dialogue_of(record)
    row: dict[str, object] = {
        "messages": [{"role": m.role, "content": m.content} for m in messages]
    }
    if isinstance(record, Comparison):
        row["responses"] = [*record.responses]
        row["ranks"] = [*record.ranks]
    return json.dumps(row, ensure_ascii=False)


def _closed(
    trees: Iterable[Tree], reading: formats.Reading[Record], refused: Malformed, *, notice: Notice
) -> Iterator[Tree]:
    """Yield trees; behind the last one, tell what was refused."""
    yield from trees
    if refused.count and refused.skip_bad is None:
        raise refused.error(reading.num_rows)
    refused.write()
    if refused.count:
        notice(
            f"{reading.path}: {refused.count} of {reading.num_rows} rows are refused by the chat "
            f"template and stand in {refused.skip_bad}"
        )

"""How text and tokens meet in a stage: demonstrations and documents to trees, prompts to tokens."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from upbring.data import formats
from upbring.data.chat import Chat, document, flaws, make_chat
from upbring.data.malformed import Malformed
from upbring.data.problems import RowError
from upbring.data.records import Demonstration, Document, Message, Prompt
from upbring.data.rows import Row
from upbring.data.tokenizer import Tokenizer
from upbring.data.trees import Tree
from upbring.errors import InputError
from upbring.recipe.dataset import Encoder, Notice, shortened
from upbring.settings.data import DataSettings
from upbring.settings.pretrain import PretrainSettings
from upbring.settings.sft import SftSettings

MOST_REMEMBERED = 2048  # rows; `chat` renders some hundreds at once


@dataclass(frozen=True, slots=True)
class Asked:
    """A fixed prompt: its tokens, and the text that is shown for it."""

    text: str
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Speech:
    """What a stage says and hears: rows to trees, prompts to tokens, and what ends an answer."""

    tokenizer: Tokenizer
    encoder: Encoder
    template: str | None
    stops: tuple[int, ...]
    asked: tuple[Asked, ...]  # the fixed prompts that the user gave


def of_dialogues(
    settings: SftSettings,
    tokenizer: Tokenizer,
    *,
    notice: Notice,
    today: dt.datetime | None = None,
) -> Speech:
    """Return the speech of a stage that learns from demonstrations, on the day it began."""
    day = (today or dt.datetime.now(dt.UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    chat = make_chat(tokenizer, template=template_of(settings), today=day)
    if chat.is_default:
        notice(
            "the model has no chat template: using the default one (see docs/learn/templates.md)"
        )

    def trees(path: Path, notice: Notice) -> tuple[Iterator[Tree], str]:
        reading = formats.read(
            path,
            Demonstration,
            format=settings.format,
            skip_bad=settings.skip_bad,
            notice=notice,
        )
        found = demonstrations(reading, chat, settings, notice=notice)
        return found, reading.format

    talks: list[tuple[Message, ...]] = [
        (Message("user", text),) for text in settings.sample_prompts
    ]
    if settings.prompts is not None:
        talks += [prompt.messages for prompt in formats.read(settings.prompts, Prompt)]
    return Speech(
        tokenizer=tokenizer,
        encoder=Encoder(
            trees,
            ("sft", chat.fingerprint, settings.format, settings.turns, str(settings.max_length)),
            is_kept=settings.skip_bad is None,
        ),
        template=chat.template,
        stops=chat.stops,
        asked=tuple(Asked(talk[-1].content, chat.prompt(talk)) for talk in talks),
    )


def demonstrations(
    reading: formats.Reading[Demonstration], chat: Chat, settings: SftSettings, *, notice: Notice
) -> Iterator[Tree]:
    """Yield the trees of a file; rows that the template refuses are malformed rows like others."""
    refused = Malformed(reading.path, settings.skip_bad)

    def refuse(key: str, error: InputError) -> None:
        line = int(key.rpartition(":")[2])
        problem = RowError("messages", str(error), "correct the row, or use another template")
        said = [{"role": m.role, "content": m.content} for m in recent.pop(key, ())]
        raw = json.dumps({"messages": said}, ensure_ascii=False)
        refused.add(Row(line=line, fields={}, raw=raw), problem)

    recent: dict[str, tuple[Message, ...]] = {}  # what may yet be refused
    rows = _remembered(reading, recent)
    found = _sound(chat, chat.demonstrations(rows, turns=settings.turns, refuse=refuse))
    yield from shortened(found, settings.max_length, where=str(reading.path), notice=notice)
    if refused.count and settings.skip_bad is None:
        raise refused.error(reading.num_rows)
    refused.write()
    if refused.count:
        notice(
            f"{reading.path}: {refused.count} of {reading.num_rows} rows are refused by the chat "
            f"template and stand in {settings.skip_bad}"
        )


def _remembered(
    reading: formats.Reading[Demonstration], recent: dict[str, tuple[Message, ...]]
) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Yield dialogues and their keys, the last of which stay in `recent`."""
    for record in reading:
        if len(recent) >= MOST_REMEMBERED:
            recent.pop(next(iter(recent)))
        recent[str(record.origin)] = record.messages
        yield record.messages, str(record.origin)


def _sound(chat: Chat, trees: Iterable[Tree]) -> Iterator[Tree]:
    """Yield trees that teach the model to stop; the first that does not refuses the template."""
    for item in trees:
        if found := flaws(chat, item):
            raise InputError(f"{item.key}: {found[0]} (see `upbring check`)")
        yield item


def of_documents(settings: PretrainSettings, tokenizer: Tokenizer) -> Speech:
    """Return the speech of a stage that learns to continue documents."""

    def trees(path: Path, notice: Notice) -> tuple[Iterator[Tree], str]:
        reading = formats.read(
            path, Document, format=settings.format, skip_bad=settings.skip_bad, notice=notice
        )
        pieces = (
            piece
            for record in reading
            for piece in document(
                record.text,
                tokenizer=tokenizer,
                max_length=settings.max_length,
                key=str(record.origin),
            )
        )
        return pieces, reading.format

    begin = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
    return Speech(
        tokenizer=tokenizer,
        encoder=Encoder(
            trees,
            ("pretrain", tokenizer.fingerprint, settings.format, str(settings.max_length)),
            is_kept=settings.skip_bad is None,
        ),
        template=tokenizer.template,
        stops=() if tokenizer.eos is None else (tokenizer.eos,),
        asked=tuple(
            Asked(text, begin + tokenizer.encode(text, trusted=False))
            for text in settings.sample_prompts
        ),
    )


def template_of(settings: DataSettings) -> str | None:
    """Return the text of the template that the user names, if any."""
    if settings.template is None:
        return None
    try:
        return settings.template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template: {settings.template} cannot be read ({error})") from error

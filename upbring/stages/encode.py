"""How text and tokens meet in a stage: demonstrations and documents to trees, prompts to tokens."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upbring.data.chat.chat import Chat, document, make_chat
from upbring.data.chat.tokenizer_files import Tokenizer
from upbring.data.read import formats
from upbring.data.read.format_table import Kind
from upbring.data.read.records import Demonstration, Document, Message, Prompt
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.settings.data import DataSettings
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.dataset import Encoder, Notice
from upbring.stages.encode_dialogues import dialogue_encoder


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
    chat: Chat | None  # none where there are documents only
    template: str | None
    stops: tuple[int, ...]
    asked: tuple[Asked, ...]  # the fixed prompts that the user gave


def of_dialogues(
    settings: DialogueSettings,
    tokenizer: Tokenizer,
    *,
    notice: Notice,
    kind: Kind = Demonstration,
    today: dt.datetime | None = None,
) -> Speech:
    """Return the speech of a stage that learns from dialogues, on the day it began."""
    day = (today or dt.datetime.now(dt.UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    chat = make_chat(tokenizer, template=template_of(settings), today=day)
    if chat.is_default:
        notice(
            "the model has no chat template: using the default one (see docs/learn/templates.md)"
        )

    talks: list[tuple[Message, ...]] = [
        (Message("user", text),) for text in settings.sample_prompts
    ]
    if settings.prompts is not None:
        talks += [prompt.messages for prompt in formats.read(settings.prompts, Prompt)]
    return Speech(
        tokenizer=tokenizer,
        encoder=dialogue_encoder(kind, chat, settings),
        chat=chat,
        template=chat.template,
        stops=chat.stops,
        asked=tuple(Asked(talk[-1].content, chat.prompt(talk)) for talk in talks),
    )


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
        chat=None,
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

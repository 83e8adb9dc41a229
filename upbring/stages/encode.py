"""The preprocessing of a stage: rows to trees, and sample prompts to tokens."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from upbring.data.chat.chat import Chat, encode_document, make_chat
from upbring.data.chat.template_file import read_template_file
from upbring.data.chat.tokenizer_files import Tokenizer
from upbring.data.read import formats
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Demonstration, Document, Message, Prompt
from upbring.data.trees.tree import Tree
from upbring.model.load import ModelFiles
from upbring.settings.data import DataSettings
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.dataset import Encoder, Log
from upbring.stages.encode_dialogues import make_dialogue_encoder

AnySettings = TypeVar("AnySettings", bound=DataSettings)


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """A fixed prompt: its tokens, and its text for display."""

    text: str
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """How a stage encodes rows and prompts, and which tokens end a response."""

    tokenizer: Tokenizer
    encoder: Encoder
    chat: Chat | None  # None if the data are documents
    chat_template: str | None
    stop_token_ids: tuple[int, ...]
    sample_prompts: tuple[SamplePrompt, ...]  # those of the settings


def make_dialogue_preprocessor(
    settings: DialogueSettings,
    tokenizer: Tokenizer,
    *,
    log: Log,
    kind: RecordType = Demonstration,
    today: dt.datetime | None = None,
) -> Preprocessor:
    """Return the preprocessor of a stage that trains on dialogues; `today` is its first day."""
    day = (today or dt.datetime.now(dt.UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    chat = make_chat(tokenizer, template=read_template_file(settings.chat_template), today=day)
    if chat.is_default and today is None:  # a resumed run said so when it started
        log(
            "the model has no chat template: turns are written below '### User' and "
            "'### Assistant'; set chat_template to use another"
        )
    if chat.untrained_opening:
        log(
            f"the chat template starts a generated answer with {chat.untrained_opening!r}, but not "
            "an answer of a row: the rows are used as the template writes them, without it"
        )
    dialogues: list[tuple[Message, ...]] = [
        (Message("user", text),) for text in settings.sample_prompts
    ]
    if settings.prompts is not None:
        dialogues += [prompt.messages for prompt in formats.read_records(settings.prompts, Prompt)]
    return Preprocessor(
        tokenizer=tokenizer,
        encoder=make_dialogue_encoder(kind, chat, settings),
        chat=chat,
        chat_template=chat.template,
        stop_token_ids=chat.stop_token_ids,
        sample_prompts=tuple(
            SamplePrompt(dialogue[-1].content, chat.encode_prompt(dialogue))
            for dialogue in dialogues
        ),
    )


def make_document_preprocessor(settings: PretrainSettings, tokenizer: Tokenizer) -> Preprocessor:
    """Return the preprocessor of a stage that trains on documents."""

    def encode(path: Path, log: Log) -> tuple[Iterator[Tree], str]:
        reading = formats.read_records(
            path, Document, format=settings.format, skip_bad=settings.skip_bad, log=log
        )
        pieces = (
            piece
            for record in reading
            for piece in encode_document(
                record.text,
                tokenizer=tokenizer,
                max_length=settings.max_length,
                key=str(record.origin),
            )
        )
        return pieces, reading.format

    prefix = (
        [tokenizer.bos_token_id]
        if tokenizer.adds_bos and tokenizer.bos_token_id is not None
        else []
    )
    return Preprocessor(
        tokenizer=tokenizer,
        encoder=Encoder(
            encode,
            ("pretrain", tokenizer.fingerprint, settings.format, str(settings.max_length)),
            is_cacheable=settings.skip_bad is None,
        ),
        chat=None,
        chat_template=tokenizer.chat_template,
        stop_token_ids=() if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,),
        sample_prompts=tuple(
            SamplePrompt(text, prefix + tokenizer.encode(text, trusted=False))
            for text in settings.sample_prompts
        ),
    )


def clamp_max_length(settings: AnySettings, files: ModelFiles, *, log: Log) -> AnySettings:
    """Return the settings with `max_length` limited to the model's number of positions."""
    if files.max_positions is None or settings.max_length <= files.max_positions:
        return settings
    log(
        f"max_length: {settings.max_length} is lowered to {files.max_positions}, the model's "
        "context length"
    )
    return settings.model_copy(update={"max_length": files.max_positions})

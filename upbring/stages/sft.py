"""Pre-training and supervised fine-tuning: the crafts that learn by next-token loss."""

import datetime as dt
from collections.abc import Iterator
from functools import partial

from upbring.algorithms.pretrain import Pretrain
from upbring.algorithms.sft import Sft
from upbring.data.chat.tokenizer import Tokenizer, train_tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read import formats
from upbring.data.read.records import Demonstration, Document
from upbring.data.trees.stream import Stream
from upbring.errors import InputError
from upbring.model.load import Loaded
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Cast, Craft
from upbring.stages.dataset import Notice
from upbring.stages.encode import Speech, of_dialogues, of_documents
from upbring.stages.provenance import micro_tokens
from upbring.stages.sample_prompts import answering
from upbring.train.optimizer import ParameterGroup


def dialogue_speech(
    settings: DialogueSettings,
    loaded: Loaded,
    *,
    notice: Notice,
    began: dt.datetime | None,
    kind: type = Demonstration,
) -> Speech:
    """Return the speech of a stage that learns from dialogues of some kind."""
    if loaded.tokenizer is None:
        raise InputError(f"{loaded.folder}: has no tokenizer; put tokenizer.json beside it")
    return of_dialogues(settings, loaded.tokenizer, kind=kind, notice=notice, today=began)


def stream(cast: Cast) -> Stream:
    """Return the order in which a stage's trees are learned from."""
    settings = cast.settings
    return Stream(
        main=cast.dataset.main,
        mixed=cast.dataset.mixed,
        seed=settings.seed,
        epochs=settings.epochs,
        step_examples=settings.step_examples,
        step_tokens=settings.step_tokens,
    )


def _algorithm(cast: Cast, role: str, *, kind: type[Pretrain]) -> Pretrain:
    order = stream(cast)
    return kind(
        model=cast.loaded.model,
        speaking=partial(cast.loaded.roles.speaking, role),
        learned=[ParameterGroup(cast.loaded.roles.parameters(role))],
        stream=order,
        steps=cast.settings.steps or order.num_steps,
        held_out=cast.dataset.held_out,
        micro_tokens=micro_tokens(cast),
        answer=answering(cast, role),
        poll=cast.poll,
    )


def _document_speech(
    settings: PretrainSettings, loaded: Loaded, *, notice: Notice, began: dt.datetime | None
) -> Speech:
    del began
    return of_documents(settings, _tokenizer(settings, loaded, notice=notice))


def _tokenizer(settings: PretrainSettings, loaded: Loaded, *, notice: Notice) -> Tokenizer:
    """Return the user's tokenizer, the model's, or one trained on the data; it must fit."""
    tokenizer = loaded.tokenizer
    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer)
    elif tokenizer is None:
        size = min(settings.vocabulary_size, loaded.model.vocabulary)
        notice(f"training a tokenizer of {size} pieces on the data")
        tokenizer = train_tokenizer(_texts(settings), size)
    if tokenizer.size > loaded.model.vocabulary:
        raise InputError(
            f"tokenizer: {tokenizer.size} pieces for a model of {loaded.model.vocabulary}; "
            "use the model's own tokenizer, or raise vocab_size in its configuration"
        )
    loaded.tokenizer = tokenizer
    return tokenizer


def _texts(settings: PretrainSettings) -> Iterator[str]:
    for path in settings.data:
        reading = formats.read(path, Document, format=settings.format, skip_bad=settings.skip_bad)
        for record in reading:
            yield record.text


PRETRAIN = Craft(
    verb="pretrain",
    kind="base",
    summary="A base model that continues documents. It was not taught to answer.",
    speech=_document_speech,
    algorithm=partial(_algorithm, kind=Pretrain),
    answers=False,
)
SFT = Craft(
    verb="sft",
    kind="sft",
    summary="A model that was taught to answer by demonstrations (supervised fine-tuning).",
    speech=dialogue_speech,
    algorithm=partial(_algorithm, kind=Sft),
)

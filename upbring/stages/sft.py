"""Pre-training and supervised fine-tuning: training with the next-token loss."""

import datetime as dt
from collections.abc import Iterator
from functools import partial

from upbring import durable
from upbring.algorithms.pretrain import Pretrain
from upbring.algorithms.sft import Sft
from upbring.data.chat.tokenizer import Tokenizer, train_tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read import formats
from upbring.data.read.folders import expand_folders
from upbring.data.read.records import Demonstration, Document
from upbring.data.trees.stream import Stream
from upbring.errors import InputError
from upbring.model.load import ModelFiles
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Implementation, StageContext
from upbring.stages.dataset import Log
from upbring.stages.encode import (
    Preprocessor,
    make_dialogue_preprocessor,
    make_document_preprocessor,
)
from upbring.stages.provenance import micro_tokens
from upbring.stages.sample_prompts import make_prompt_sampler
from upbring.train.optimizer import ParameterGroup


def make_preprocessor(
    settings: DialogueSettings,
    files: ModelFiles,
    *,
    log: Log,
    started_at: dt.datetime | None,
    kind: type = Demonstration,
) -> Preprocessor:
    """Return the preprocessor of a stage that trains on dialogues of a kind."""
    if files.tokenizer is None:
        raise InputError(f"{files.folder}: has no tokenizer; put tokenizer.json into the folder")
    return make_dialogue_preprocessor(
        settings, files.tokenizer, kind=kind, log=log, today=started_at
    )


def make_stream(context: StageContext) -> Stream:
    """Return the order in which a stage trains on its trees."""
    settings = context.settings
    return Stream(
        main_trees=context.dataset.main,
        mixed_sources=context.dataset.mixed,
        seed=settings.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
    )


def _make_algorithm(
    context: StageContext, role: str, *, algorithm_class: type[Pretrain]
) -> Pretrain:
    tree_stream = make_stream(context)
    return algorithm_class(
        model=context.loaded.model,
        active=partial(context.loaded.roles.active, role),
        trainable=[ParameterGroup(context.loaded.roles.parameters(role))],
        stream=tree_stream,
        steps=context.settings.steps or tree_stream.num_steps,
        held_out=context.dataset.held_out,
        micro_tokens=micro_tokens(context),
        sample_responses=make_prompt_sampler(context, role),
        poll=context.poll,
        track=context.track,
    )


def _make_pretrain_preprocessor(
    settings: PretrainSettings, files: ModelFiles, *, log: Log, started_at: dt.datetime | None
) -> Preprocessor:
    del started_at
    return make_document_preprocessor(settings, _choose_tokenizer(settings, files, log=log))


def _choose_tokenizer(settings: PretrainSettings, files: ModelFiles, *, log: Log) -> Tokenizer:
    """Return the user's tokenizer, the model's, or a new one that is trained on the data."""
    tokenizer = files.tokenizer
    if settings.tokenizer is not None:
        durable.verify_if_sealed(settings.tokenizer)
        tokenizer = load_tokenizer(settings.tokenizer)
    elif tokenizer is None:
        size = min(settings.vocab_size, files.vocab_size)
        log(f"training a tokenizer with {size} tokens on the data")
        tokenizer = train_tokenizer(_read_texts(settings), size)
    if tokenizer.size > files.vocab_size:
        raise InputError(
            f"tokenizer: has {tokenizer.size} tokens, and the model's vocab_size is "
            f"{files.vocab_size}; use the model's own tokenizer, or raise vocab_size in its config"
        )
    return tokenizer


def _read_texts(settings: PretrainSettings) -> Iterator[str]:
    for path in expand_folders(settings.data):
        reading = formats.read_records(
            path, Document, format=settings.format, skip_bad=settings.skip_bad
        )
        for record in reading:
            yield record.text


PRETRAIN = Implementation(
    summary="A base model that continues documents. It was not trained to answer.",
    make_preprocessor=_make_pretrain_preprocessor,
    make_algorithm=partial(_make_algorithm, algorithm_class=Pretrain),
    samples_held_out_prompts=False,
)
SFT = Implementation(
    summary="A model trained on demonstrations (supervised fine-tuning).",
    make_preprocessor=make_preprocessor,
    make_algorithm=partial(_make_algorithm, algorithm_class=Sft),
)

"""Pre-training and supervised fine-tuning as stages: what each adds to `stage`."""

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console

from upbring.algorithms.pretrain import Pretrain
from upbring.algorithms.sft import Sft
from upbring.data import formats
from upbring.data.codec import Tokenizer, train_tokenizer
from upbring.data.records import Document
from upbring.data.tokenizer import load_tokenizer
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.model.load import Loaded, load
from upbring.recipe import speech
from upbring.recipe.dataset import Notice, make_dataset
from upbring.recipe.stage import Cast, Learning, perform
from upbring.runs.folder import Run
from upbring.settings.pretrain import PretrainSettings
from upbring.settings.resolve import Resolved
from upbring.settings.sft import SftSettings
from upbring.train import devices, processes


def train(
    verb: str,
    resolved: Resolved[Learning],
    *,
    resumed: Run | None = None,
    allow_change: Sequence[str] = (),
) -> Run:
    """Run a stage that learns by next-token loss and return its run."""
    with Interruption() as interruption:
        machine = devices.prepare(resolved.settings)
        with processes.joined(machine.device) as place:
            console = Console(stderr=True, quiet=not place.is_first)  # the first process speaks
            cast = _cast(verb, resolved, machine, interruption, console, resumed=resumed)
            run = perform(cast, resumed=resumed, allow_change=allow_change)
            cast.say(
                f"{run.path}: finished; the model is in {run.model}, try `upbring chat {run.path}`"
            )
            return run


def _cast(
    verb: str,
    resolved: Resolved[Learning],
    machine: devices.Machine,
    interruption: Interruption,
    console: Console,
    *,
    resumed: Run | None,
) -> Cast:
    """Bring everyone together who takes part in the stage."""
    settings = resolved.settings
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    poll = partial(_poll_before, interruption)
    loaded = load(
        settings.model,
        device=machine.device,
        compute=machine.compute,
        is_whole=settings.tune == "full",
        notice=say,
        seed=settings.seed if isinstance(settings, PretrainSettings) else None,
    )
    poll()
    began = dt.datetime.fromisoformat(str(resumed.facts()["began"])) if resumed else None
    spoken = _speech(_within(settings, loaded), loaded, notice=say, began=began)
    with processes.first_goes_ahead():  # and fills the cache for the others
        dataset = make_dataset(settings, spoken.encoder, seed=settings.seed, notice=say, poll=poll)
    poll()
    return Cast(
        verb=verb,
        resolved=resolved,
        machine=machine,
        loaded=loaded,
        speech=spoken,
        dataset=dataset,
        algorithm=Pretrain if verb == "pretrain" else Sft,
        interruption=interruption,
        say=say,
        console=console,
    )


def _poll_before(interruption: Interruption) -> None:
    """Leave if somebody asked to stop while there is nothing to save yet."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )


def _within(settings: Learning, loaded: Loaded) -> Learning:
    """Return the settings with examples no longer than the model reads."""
    limit = loaded.model.longest
    if limit is None or settings.max_length <= limit:
        return settings
    return settings.model_copy(update={"max_length": limit})


def _speech(
    settings: Learning, loaded: Loaded, *, notice: Notice, began: dt.datetime | None
) -> speech.Speech:
    if isinstance(settings, SftSettings):
        if loaded.tokenizer is None:
            raise InputError(f"{loaded.folder}: has no tokenizer; put tokenizer.json beside it")
        return speech.of_dialogues(settings, loaded.tokenizer, notice=notice, today=began)
    return speech.of_documents(settings, _tokenizer(settings, loaded, notice=notice))


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

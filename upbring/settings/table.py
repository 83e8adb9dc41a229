"""The table of verbs: what each is called, whose settings it takes and where it runs.

To add a verb is to add one entry. Places are strings, so that reading the table imports nothing.
It stands on this floor because a settings file has one section per verb.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Verb:
    """One verb of the command line and one section of a settings file."""

    name: str
    help: str
    settings: str
    run: str
    example: str
    about: str = ""
    positional: str | None = None


VERBS = (
    Verb(
        name="check",
        help="Look at data before a step is taken: format, rows, lengths, what is learned.",
        settings="upbring.settings.verbs:CheckSettings",
        run="upbring.cli.check:run",
        example="upbring check chat.jsonl --model ./base",
        about="Names each malformed row by file and line. With a model it also renders one "
        "example and shows which of its tokens are learned from.",
        positional="data",
    ),
    Verb(
        name="pretrain",
        help="Learn to continue documents: next-token loss on plain text.",
        settings="upbring.settings.pretrain:PretrainSettings",
        run="upbring.cli.pretrain:run",
        example="upbring pretrain books.txt --model ./base --epochs 1",
        positional="data",
    ),
    Verb(
        name="sft",
        help="Learn from demonstrations: next-token loss on what the assistant says.",
        settings="upbring.settings.sft:SftSettings",
        run="upbring.cli.sft:run",
        example="upbring sft chat.jsonl --model ./base --learning-rate 1e-4",
        about="Writes a run folder with the weights, the settings and the learning curve. "
        "Interrupt it at any time; `upbring resume` goes on bit for bit.",
        positional="data",
    ),
    Verb(
        name="resume",
        help="Go on with an interrupted run as if it had never stopped.",
        settings="upbring.settings.verbs:ResumeSettings",
        run="upbring.cli.resume:run",
        example="upbring resume",
        positional="run",
    ),
    Verb(
        name="chat",
        help="Talk with a model in the terminal.",
        settings="upbring.settings.verbs:ChatSettings",
        run="upbring.cli.chat:run",
        example="upbring chat runs/sft-1 --temperature 0.7",
        positional="model",
    ),
    Verb(
        name="export",
        help="Write a model that other tools load as it stands.",
        settings="upbring.settings.verbs:ExportSettings",
        run="upbring.cli.export:run",
        example="upbring export runs/sft-1 --to ./assistant",
        positional="run",
    ),
    Verb(
        name="runs",
        help="List the runs of a folder.",
        settings="upbring.settings.verbs:RunsSettings",
        run="upbring.cli.runs:run",
        example="upbring runs",
    ),
    Verb(
        name="nursery",
        help="Write the embedded small world as files: corpus, demonstrations, evaluation sets.",
        settings="upbring.settings.verbs:NurserySettings",
        run="upbring.cli.nursery:run",
        example="upbring nursery export ./world",
        about="All people and judgements in it are invented.",
        positional="do",
    ),
    Verb(
        name="demo",
        help="See the road in a few minutes, on an embedded small world.",
        settings="upbring.settings.verbs:DemoSettings",
        run="upbring.cli.demo:run",
        example="upbring demo",
    ),
)


def verbs() -> dict[str, Verb]:
    """Return the verbs by name, in the order of the table."""
    return {verb.name: verb for verb in VERBS}


def imported(place: str) -> Any:  # noqa: ANN401 -- a class or a function, as the caller knows
    """Return what a place such as `package.module:name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)

"""The settings of the verbs that do not train."""

from pathlib import Path
from typing import Literal

from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import Settings, setting


class CheckSettings(Settings):
    """Look at data before a step is taken."""

    data: tuple[Path, ...] = setting(min_length=1, help="Files to check.")
    model: str | None = setting(
        None, help="Model whose tokenizer and template are to be used. Unset: text checks only."
    )
    purpose: Literal["auto", "pretrain", "sft", "reward", "prompts"] = setting(
        "auto", help="What the data is for. auto tells it from the rows."
    )
    format: str = setting("auto", help="Format of the rows; auto recognises it and says which.")
    held_out: tuple[Path, ...] = setting((), help="Held-out files, which must not overlap.")
    skip_bad: Path | None = setting(
        None, help="Go on without malformed rows and write them to this file."
    )
    template: Path | None = setting(None, help="Jinja file to use as the chat template.")
    turns: Literal["all", "last"] = setting(
        "all", help="Which of the assistant's turns are learned from."
    )
    max_length: int = setting(2048, ge=2, help="Longest example in tokens.")


class ChatSettings(ModelSettings, SampleSettings):
    """Talk with a model in the terminal."""

    system: str | None = setting(None, help="System message to begin with.")
    prompt: str | None = setting(None, help="Answer this one message and leave.")
    seed: int = setting(0, ge=0, help="Seed of the draws.")


class ExportSettings(Settings):
    """Write a model that other tools load as it stands."""

    run: str = setting(help="Run, or model directory, to export.")
    to: Path = setting(help="Directory to write; it must not exist.")
    kind: Literal["merged", "adapter"] = setting(
        "merged", help="A whole transformers model, or the PEFT adapter alone."
    )
    precision: Literal["float32", "bfloat16", "float16"] = setting(
        "float32", help="Number format of the merged weights."
    )


class ResumeSettings(Settings):
    """Go on with an interrupted run."""

    run: str | None = setting(None, help="Run to resume. Unset: the newest unfinished one.")
    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")
    processes: int | None = setting(
        None, ge=1, help="Processes to go on with. Unset: as many as before."
    )
    allow_change: tuple[str, ...] = setting(
        (), help="Settings that may differ from the checkpoint's."
    )


class RunsSettings(Settings):
    """List the runs of a folder."""

    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")


class NurserySettings(Settings):
    """The embedded small world."""

    do: tuple[str, ...] = setting(
        help="export FOLDER: write corpus, demonstrations, rankings and evaluation sets as JSONL.",
    )
    seed: int = setting(0, ge=0, help="Seed of every draw.")
    characters: int = setting(18_000_000, ge=10_000, help="Size of the corpus in characters.")


class DemoSettings(Settings):
    """See the whole road in a few minutes, on an embedded small world."""

    to: Path = setting(Path("demo"), help="Folder to write to. Run again, the demo goes on.")
    steps: int | None = setting(
        None, ge=1, help="Steps of each stage, to try it in a hurry. Unset: as the recipe says."
    )
    threads: int | None = setting(
        None, ge=1, help="Processor threads. Unset: one per processor that this process may use."
    )


class PlanSettings(Settings):
    """What a run would take."""

    do: tuple[str, ...] = setting(
        min_length=1,
        help="A verb that trains, with its own files and flags: sft chat.jsonl --model ./base; or "
        "a recipe, with --to FOLDER where its road is not in runs/.",
    )


class DoctorSettings(Settings):
    """Whether this machine can train, and a block for a bug report."""

    runs: Path = setting(Path("runs"), help="Folder that is to hold the runs.")
    seconds: float = setting(1.0, gt=0, le=60, help="Time to measure the processor for.")

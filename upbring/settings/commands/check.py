"""Settings of `upbring check`."""

from pathlib import Path
from typing import Literal

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
    chat_template: Path | None = setting(None, help="Jinja file to use as the chat template.")
    turns: Literal["all", "last"] = setting(
        "all", help="Which of the assistant's turns are learned from."
    )
    max_length: int = setting(2048, ge=2, help="Longest example in tokens.")

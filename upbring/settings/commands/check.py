"""Settings of `upbring check`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class CheckSettings(Settings):
    """Check data before training."""

    data: tuple[Path, ...] = setting(min_length=1, help="Files to check.")
    model: str | None = setting(
        None, help="Model whose tokenizer and chat template are used. Unset: text checks only."
    )
    purpose: Literal[
        "auto",
        "pretrain",
        "sft",
        "reward",
        "dpo",
        "ipo",
        "kto",
        "orpo",
        "simpo",
        "ppo",
        "grpo",
        "rloo",
        "prompts",
    ] = setting("auto", help="Method that the data is for. auto detects the kind of the rows.")
    format: str = setting("auto", help="Format of the rows. auto detects and reports it.")
    held_out: tuple[Path, ...] = setting(
        (), help="Held-out files, which must not overlap with the data."
    )
    skip_bad: Path | None = setting(None, help="Skip malformed rows and write them to this file.")
    chat_template: Path | None = setting(
        None, help="Jinja file with the chat template. Unset: the model's own."
    )
    turns: Literal["all", "last"] = setting(
        "all", help="Assistant turns with a loss: all, or the last one of each dialogue."
    )
    max_length: int | None = setting(
        None,
        ge=2,
        help="Maximum length of an example in tokens. Unset: the default of training, or the "
        "model's context length if that is smaller.",
    )

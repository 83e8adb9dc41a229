"""Supervised fine-tuning."""

from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import DialogueSettings


class SftSettings(DialogueSettings):
    """Learn from demonstrations: next-token loss on what the assistant says."""

    panel: ClassVar[str] = "Supervised fine-tuning"

    turns: Literal["all", "last"] = setting(
        "all", help="Which of the assistant's turns are learned from."
    )

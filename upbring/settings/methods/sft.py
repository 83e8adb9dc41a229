"""Settings of supervised fine-tuning."""

from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import DialogueSettings


class SftSettings(DialogueSettings):
    """SFT: next-token loss on the assistant's turns of demonstrations."""

    panel: ClassVar[str] = "Supervised fine-tuning"

    turns: Literal["all", "last"] = setting(
        "all", help="Assistant turns with a loss: all, or the last one of each dialogue."
    )

"""Settings of `upbring chat`."""

from pathlib import Path

from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class ChatSettings(ModelSettings, SampleSettings):
    """Chat with a model in the terminal."""

    system: str | None = setting(None, help="System message of the dialogue.")
    prompt: str | None = setting(None, help="Respond to this one message and exit.")
    seed: int = setting(0, ge=0, help="Random seed of sampling.")
    votes: Path = setting(
        Path("votes"),
        help="Folder of the votes that are given with + and -.",
    )

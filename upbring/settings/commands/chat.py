"""Settings of `upbring chat`."""

from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class ChatSettings(ModelSettings, SampleSettings):
    """Talk with a model in the terminal."""

    system: str | None = setting(None, help="System message to begin with.")
    prompt: str | None = setting(None, help="Answer this one message and leave.")
    seed: int = setting(0, ge=0, help="Seed of the draws.")

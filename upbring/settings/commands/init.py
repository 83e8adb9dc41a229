"""Settings of `upbring init`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class InitSettings(Settings):
    """Write a commented recipe to begin with, and example data."""

    case: Literal["domain", "persona", "json", "safer", "medicine", "road"] | None = setting(
        None,
        help="What you want: an assistant for your domain, a persona, a JSON formatter, a safer "
        "model; or, on the embedded world, a specialist in medicine or the whole road. Unset: you "
        "are asked.",
    )
    model: str | None = setting(None, help="Model to begin from. Unset: you are asked.")
    to: Path = setting(Path("recipe"), help="Folder to write to; it must not exist.")

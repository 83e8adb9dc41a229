"""Settings of `upbring init`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class InitSettings(Settings):
    """Write a commented recipe for a use case, with example data."""

    case: Literal["domain", "persona", "json", "safer", "medicine", "pipeline"] | None = setting(
        None,
        help="Use case: an assistant for your domain, a persona, a JSON formatter, a safer model; "
        "or, on the toy dataset, a specialist in medicine or the full pipeline. Unset: you are "
        "asked.",
    )
    model: str | None = setting(None, help="Initial model. Unset: you are asked.")
    to: Path = setting(Path("recipe"), help="Output folder; it must not exist.")

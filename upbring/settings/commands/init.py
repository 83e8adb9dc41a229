"""Settings of `upbring init`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting

Case = Literal["assistant", "domain", "persona", "json", "safer", "medicine", "pipeline"]


class InitSettings(Settings):
    """Write a commented recipe for a use case, with example data."""

    case: Case | None = setting(
        None,
        help="Use case: from a base model to an assistant, on real data; an assistant for your "
        "domain, a persona, a JSON formatter, a safer model; or, on the toy dataset, a specialist "
        "in medicine or the full pipeline. Unset: you are asked.",
    )
    model: str | None = setting(None, help="Initial model. Unset: you are asked.")
    data: Path | None = setting(
        None,
        help="Folder with your copies of public data sets, for the cases assistant and safer: "
        "dolly, hh-rlhf, IFEval, XSTest, GSM8K and a text. Unset: a few example rows.",
    )
    to: Path = setting(Path("recipe"), help="Output folder; it must not exist.")

"""Settings of `upbring export`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class ExportSettings(Settings):
    """Write a model that other tools load as it stands."""

    run: str = setting(help="Run, or model directory, to export.")
    to: Path = setting(help="Directory to write; it must not exist.")
    kind: Literal["merged", "adapter"] = setting(
        "merged", help="A whole transformers model, or the PEFT adapter alone."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "float32", help="Number format of the merged weights."
    )

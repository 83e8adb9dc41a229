"""Settings of `upbring export`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class ExportSettings(Settings):
    """Write a model that transformers, peft and vLLM load unchanged."""

    run: str = setting(help="Run or model directory to export.")
    to: Path = setting(help="Output directory; it must not exist.")
    kind: Literal["merged", "adapter"] = setting(
        "merged", help="A complete transformers model (merged), or only the PEFT adapter."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "float32", help="Data type of the merged weights."
    )

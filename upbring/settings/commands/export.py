"""Settings of `upbring export` and `upbring import`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class ExportSettings(Settings):
    """Write a model that transformers, peft and vLLM load unchanged."""

    run: str = setting(help="Run or model directory to export.")
    to: Path = setting(help="Output directory; it must not exist.")
    as_: Literal["merged", "peft", "classifier", "gguf", "ollama", "mlx", "mlx-adapter"] = setting(
        "merged",
        help="Format: a complete transformers model (merged), one PEFT adapter on the original "
        "base (peft), a reward model as a sequence classifier (classifier), a GGUF file (gguf), "
        "also with a Modelfile (ollama), a complete model or an adapter for mlx-lm (mlx, "
        "mlx-adapter).",
    )
    dtype: Literal["float32", "bfloat16", "float16", "q8_0"] = setting(
        "float32", help="Data type of the merged weights; q8_0, 8 bits, is for GGUF files."
    )
    shard_size: str = setting(
        "5GB", help="Largest file of merged weights, such as 500MB; a larger model gets several."
    )
    evaluation: Path | None = setting(
        None,
        help="Folder of `upbring evaluate` whose numbers go to the model card. Unset: that of the "
        "run's pipeline, or `evaluation` here.",
    )


class ImportSettings(Settings):
    """Convert a GGUF file, of llama.cpp or Ollama, to a model that can be trained."""

    file: Path = setting(help="GGUF file to convert.")
    to: Path = setting(help="Output directory; it must not exist.")
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "float32", help="Data type of the weights. float32 keeps every value of the file."
    )

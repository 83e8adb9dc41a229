"""Models from Python: load one to generate with it, or export one for other tools."""

import os
from pathlib import Path
from typing import Literal

from upbring.api.arguments import ModelLike, resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.model import Model
from upbring.api.notebook import make_log
from upbring.export.export_model import export_model
from upbring.export.gguf.import_model import import_model
from upbring.settings.commands.export import ExportSettings, ImportSettings
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import load_local_model


@runs_models
def load(
    model: ModelLike,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    quantization: Literal["auto", "none", "nf4", "int8"] = "auto",
    threads: int | None = None,
) -> Model:
    """Load a model to generate, chat and compute log-probabilities with it.

    Args:
        model: A run, a folder, a hub id, or a builtin: name.
        dtype: Data type of weights and matrix multiplications. auto uses bfloat16 where the
            hardware supports it natively.
        device: Device to run on. auto uses a GPU if there is one.
        quantization: Store the weights of linear layers in 4 bits (nf4) or 8 bits (int8). auto: as
            the model's adapter was trained, else none. Needs upbring[quantization].
        threads: Number of CPU threads. None: one per CPU core that this process may use.
    """
    arguments = {
        "model": model,
        "dtype": dtype,
        "device": device,
        "quantization": quantization,
        "threads": threads,
    }
    settings = resolve_arguments(ModelSettings, command="load", arguments=arguments).settings
    max_tokens = 1  # `generate` has its own
    return Model(settings, load_local_model(settings, max_tokens=max_tokens, log=make_log()))


@runs_models
def export(
    run: ModelLike,
    to: str | os.PathLike[str],
    *,
    as_: Literal["merged", "peft", "classifier", "gguf", "ollama", "mlx", "mlx-adapter"] = "merged",
    dtype: Literal["float32", "bfloat16", "float16", "q8_0"] = "float32",
    shard_size: str = "5GB",
    evaluation: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a model that transformers, peft and vLLM load unchanged, and verify it.

    Args:
        run: Run or model folder to export.
        to: Output folder; it must not exist.
        as_: Format: a complete transformers model (merged), one PEFT adapter on the original base
            (peft), a reward model as a sequence classifier (classifier), a GGUF file (gguf), also
            with a Modelfile (ollama), a complete model or an adapter for mlx-lm (mlx, mlx-adapter).
        dtype: Data type of the merged weights; q8_0, 8 bits, is for GGUF files.
        shard_size: Largest file of merged weights, such as 500MB; a larger model gets several.
        evaluation: Folder of `upbring.evaluate` whose numbers go to the model card. None: that of
            the run's pipeline, or `evaluation` here.
    """
    arguments = {
        "run": run,
        "to": to,
        "as_": as_,
        "dtype": dtype,
        "shard_size": shard_size,
        "evaluation": evaluation,
    }
    settings = resolve_arguments(ExportSettings, command="export", arguments=arguments).settings
    export_model(settings, log=make_log())
    return settings.to


@runs_models
def import_gguf(
    file: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Path:
    """Convert a GGUF file, of llama.cpp or Ollama, to a model that can be trained, and check it.

    Args:
        file: GGUF file to convert.
        to: Output folder; it must not exist.
        dtype: Data type of the weights. float32 keeps every value of the file.
    """
    arguments = {"file": file, "to": to, "dtype": dtype}
    resolved = resolve_arguments(ImportSettings, command="import_gguf", arguments=arguments)
    import_model(resolved.settings, log=make_log())
    return resolved.settings.to

"""Models from Python: load one to generate with it, or export one for other tools."""

import os
from pathlib import Path
from typing import Literal

from upbring.api.arguments import ModelLike, resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.model import Model
from upbring.api.notebook import make_log
from upbring.export.outgoing import DTYPES, export_adapter, export_merged
from upbring.settings.commands.export import ExportSettings
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import load_local_model
from upbring.train import devices


@runs_models
def load(
    model: ModelLike,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> Model:
    """Load a model to generate, chat and compute log-probabilities with it.

    Args:
        model: A run, a folder, a hub id, or a builtin: name.
        dtype: Data type of weights and matrix multiplications. auto uses bfloat16 where the
            hardware supports it natively.
        device: Device to run on. auto uses a GPU if there is one.
        threads: Number of CPU threads. None: one per CPU core that this process may use.
    """
    arguments = {"model": model, "dtype": dtype, "device": device, "threads": threads}
    settings = resolve_arguments(ModelSettings, command="load", arguments=arguments).settings
    max_tokens = 1  # `generate` has its own
    return Model(settings, load_local_model(settings, max_tokens=max_tokens, log=make_log()))


@runs_models
def export(
    run: ModelLike,
    to: str | os.PathLike[str],
    *,
    kind: Literal["merged", "adapter"] = "merged",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Path:
    """Write a model that transformers, peft and vLLM load unchanged, and verify it.

    Args:
        run: Run or model folder to export.
        to: Output folder; it must not exist.
        kind: A complete transformers model (merged), or only the PEFT adapter.
        dtype: Data type of the merged weights.
    """
    arguments = {"run": run, "to": to, "kind": kind, "dtype": dtype}
    settings = resolve_arguments(ExportSettings, command="export", arguments=arguments).settings
    devices.retain_freed_memory()
    log = make_log()
    if settings.kind == "adapter":
        difference = export_adapter(settings.run, settings.to, log=log)
    else:
        difference = export_merged(settings.run, settings.to, dtype=DTYPES[settings.dtype], log=log)
    log(f"{settings.to}: verified; log-probabilities differ by at most {difference:.1e}")
    return settings.to

"""Exports a complete model: adapters are merged into the weights.

The written weights are what is verified: with a data type of 16 bits they are rounded first, and
what the rounding changes is reported on its own.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from upbring.export.load_run import load_run, new_folder, require_contract
from upbring.export.model_card import CardSource, write_export_card
from upbring.export.portable import portable_contract
from upbring.export.verify import ExpectedOutputs, check_export, compute_expected
from upbring.export.weights import MAX_SHARD_BYTES, write_network
from upbring.model.load import LoadedModel
from upbring.model.quantized import make_dense
from upbring.model.roles import BASE
from upbring.tracking import Track, no_tracking, track_call

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def export_merged(
    name: str,
    target: Path,
    *,
    dtype: torch.dtype,
    log: Callable[[str], None],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    evaluation: Path | None = None,
    track: Track = no_tracking,
    check: Callable[..., float] = check_export,
) -> float:
    """Write the merged model to `target`; return the largest difference in transformers."""
    with new_folder(target) as folder:

        def write() -> ExpectedOutputs:  # the model is freed before transformers loads it
            loaded = load_run(name, log=log, track=track)
            return _write_merged(
                loaded,
                folder,
                card=CardSource(name, target.name, "transformers", evaluation),
                dtype=dtype,
                max_shard_bytes=max_shard_bytes,
                log=log,
            )

        expected = track_call(track, f"writing {target}", write)
        return track_call(
            track,
            f"checking {target}",
            lambda: check(folder, expected, library="transformers", target=target),
        )


def _write_merged(
    loaded: LoadedModel,
    folder: Path,
    *,
    card: CardSource,
    dtype: torch.dtype,
    max_shard_bytes: int,
    log: Callable[[str], None],
) -> ExpectedOutputs:
    """Write a loaded model to `folder`, and return what the written weights compute."""
    contract = portable_contract(require_contract(loaded))
    expected = compute_expected(loaded)
    make_dense(loaded.model.network)
    if dtype != torch.float32:
        heads = [loaded.roles.heads[BASE]] if loaded.head is not None else []
        _round_weights([loaded.model.network, *heads], dtype)
        rounded = compute_expected(loaded)
        difference = expected.difference(rounded.outputs)
        what = "scores" if expected.is_reward else "log-probabilities"
        log(
            f"{str(dtype).removeprefix('torch.')}: rounding the weights changes {what} by "
            f"{float(difference.mean()):.2g} on average, {float(difference.max()):.2g} at most"
        )
        expected = rounded
    write_network(loaded, folder, contract=contract, dtype=dtype, max_shard_bytes=max_shard_bytes)
    write_export_card(folder, loaded, contract, source=card)
    return expected


@torch.no_grad()
def _round_weights(modules: list[nn.Module], dtype: torch.dtype) -> None:
    """Round the weights to the values that `dtype` has; they keep their own data type."""
    for module in modules:
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(dtype))

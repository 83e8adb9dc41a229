"""An adapter in the format of mlx-lm, which loads it with `--adapter-path`.

As its source reads it (mlx_lm/tuner/utils.py): `adapters.safetensors` has `lora_a` [in, r] and
`lora_b` [r, out] of each layer, PEFT's A and B transposed; `adapter_config.json` has one rank and
one scale for all layers, and their names within a block. mlx-lm takes tokenizer and template from
the base.
"""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

from upbring import durable
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.errors import InputError
from upbring.export.weights import write_tokenizer_and_contract
from upbring.model.load import LoadedModel
from upbring.runs.contract import Contract

AS_MLX = "export the whole model with --as mlx"


def write_mlx_adapter(
    loaded: LoadedModel, folder: Path, *, contract: Contract, log: Callable[[str], None]
) -> None:
    """Write the adapters of a loaded model as one adapter of mlx-lm."""
    _reject_unsupported(loaded)
    tensors = {}
    for name, (A, B) in loaded.factors.items():  # A [r, in], B [out, r] with its scale
        tensors[f"{name}.lora_a"] = A.t().contiguous()
        tensors[f"{name}.lora_b"] = B.t().contiguous()
    save_file(tensors, folder / "adapters.safetensors", metadata={"format": "mlx"})
    rank = next(iter(loaded.factors.values()))[0].shape[0]
    durable.write_json(
        folder / "adapter_config.json",
        {
            "fine_tune_type": "lora",
            "model": contract.base,
            "num_layers": int(loaded.model.network.config.get_text_config().num_hidden_layers),
            "lora_parameters": {
                "rank": rank,
                "scale": 1.0,
                "dropout": 0.0,
                "keys": sorted({_name_in_block(name) for name in loaded.factors}),
            },
        },
    )
    write_tokenizer_and_contract(loaded, folder, contract=contract)
    if _base_template(loaded) != contract.template:
        log(
            "mlx-lm: reads the chat template of the base, which is not the one this model was "
            f"trained with; copy chat_template.jinja to the base, or {AS_MLX}"
        )


def _reject_unsupported(loaded: LoadedModel) -> None:
    """Raise an InputError for what an adapter of mlx-lm cannot express."""
    if loaded.head is not None:
        raise InputError(f"{loaded.folder}: is a reward model, and mlx-lm has none; use --as peft")
    if not loaded.has_exact_factors:
        raise InputError(f"{loaded.folder}: has a DoRA adapter, which is no product; {AS_MLX}")
    if any(isinstance(module, Conv1D) for module in loaded.model.network.modules()):
        kind = loaded.model.network.config.model_type
        raise InputError(f"{loaded.folder}: {kind} has transposed weights; {AS_MLX}")


def _name_in_block(name: str) -> str:
    """Return a layer's name within its block.

    >>> _name_in_block("model.layers.11.self_attn.q_proj")
    'self_attn.q_proj'
    """
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), -1)
    return ".".join(parts[number + 1 :])


def _base_template(loaded: LoadedModel) -> str | None:
    """Return the chat template in the folder of the base."""
    if not (loaded.base / "tokenizer.json").is_file():
        return None
    return load_tokenizer(loaded.base).chat_template

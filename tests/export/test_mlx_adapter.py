"""The adapter of mlx-lm: its layout, and what it cannot express."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.export.exports import Exported, write_export
from upbring.errors import InputError


def test_each_layer_has_the_transposed_factors_under_one_configuration(exported: Exported) -> None:
    folder = exported.folder / "out" / "mlx-two"
    config = json.loads((folder / "adapter_config.json").read_text())
    keys = [*(f"mlp.{part}_proj" for part in ("down", "gate", "up"))]
    keys += [f"self_attn.{part}_proj" for part in "koqv"]
    assert config == {
        "fine_tune_type": "lora",
        "model": "m",
        "num_layers": 2,
        "lora_parameters": {"rank": 20, "scale": 1.0, "dropout": 0.0, "keys": sorted(keys)},
    }
    tensors = load_file(folder / "adapters.safetensors")
    names = {f"model.layers.{i}.{key}.lora_{end}" for i in (0, 1) for key in keys for end in "ab"}
    assert set(tensors) == names
    assert tensors["model.layers.0.self_attn.k_proj.lora_a"].shape == (32, 20)  # [in, r]
    assert tensors["model.layers.0.self_attn.k_proj.lora_b"].shape == (20, 16)  # [r, out]


def test_another_template_than_that_of_the_base_is_reported(
    exported: Exported, tmp_path: Path
) -> None:
    lines = write_export(exported.folder, "one", str(tmp_path / "x"), as_="mlx-adapter")
    assert lines[0].startswith("mlx-lm: reads the chat template of the base, which is not the one")


@pytest.mark.parametrize(
    ("run", "message"),
    [("dora", "has a DoRA adapter"), ("gpt", "gpt2 has transposed weights")],
)
def test_what_it_cannot_express_is_refused(
    exported: Exported, tmp_path: Path, run: str, message: str
) -> None:
    with pytest.raises(InputError, match=f"{message}.*; export the whole model with --as mlx"):
        write_export(exported.folder, run, str(tmp_path / "x"), as_="mlx-adapter")
    assert list(tmp_path.iterdir()) == []

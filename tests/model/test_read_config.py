import json
import shutil
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.model.read_config import read_config


def changed(model_folder: Path, target: Path, **values: object) -> Path:
    folder = target / "model"
    shutil.copytree(model_folder, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def test_a_configuration_is_read_as_transformers_reads_it(model_folder: Path) -> None:
    config = read_config(model_folder)
    assert (config.model_type, config.hidden_size, config.num_hidden_layers) == ("llama", 32, 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_hidden_layers", 10**9, "is 1000000000, more than 4,096"),
        ("num_attention_heads", 0, "is 0, and must be at least 1"),
        ("hidden_size", -32, "is -32, and must be at least 1"),
        ("head_dim", 2**40, "more than 1,048,576"),
        ("vocab_size", 10**12, "more than 16,777,216"),
        ("max_position_embeddings", 10**10, "more than 2,147,483,648"),
    ],
)
def test_a_size_out_of_bounds_is_named(
    model_folder: Path, tmp_path: Path, name: str, value: int, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_config(changed(model_folder, tmp_path, **{name: value}))
    assert f"config.json: {name} is" in str(caught.value)


def test_large_real_sizes_are_within_the_bounds(model_folder: Path, tmp_path: Path) -> None:
    real = {
        "vocab_size": 262_208,
        "hidden_size": 16_384,
        "intermediate_size": 53_248,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 10_485_760,
        "eos_token_id": 200_000_000,
    }
    assert read_config(changed(model_folder, tmp_path, **real)).num_hidden_layers == 126


@pytest.mark.parametrize("method", ["fp8", "mxfp4", "gptq", "bitsandbytes"])
def test_quantized_weights_are_refused_by_their_method(
    model_folder: Path, tmp_path: Path, method: str
) -> None:
    folder = changed(model_folder, tmp_path, quantization_config={"quant_method": method})
    with pytest.raises(InputError, match=f"has quantized weights .'{method}'.*dequantize"):
        read_config(folder)


def test_a_text_config_that_is_no_model_is_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"text model is|cannot be read"):
        read_config(changed(model_folder, tmp_path, text_config={"hidden_size": 4}))

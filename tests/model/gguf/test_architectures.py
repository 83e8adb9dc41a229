from pathlib import Path

import pytest
from transformers import GPT2Config, LlamaConfig, MistralConfig, PretrainedConfig, Qwen2Config

from tests.gguf_models import KINDS, SHAPE, file_content, load_kind, make_kind
from upbring.errors import InputError
from upbring.export.gguf.write_file import write_file
from upbring.model.gguf.architectures import (
    architecture_of_config,
    config_of_file,
    head_size,
    metadata_of_config,
    rope_factors,
)
from upbring.model.gguf.header import read_header

LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def metadata(config: PretrainedConfig) -> dict[str, object]:
    return {**metadata_of_config(architecture_of_config(config, name="m"), config)}


def test_a_configuration_is_written_in_the_words_of_gguf() -> None:
    found = metadata(LlamaConfig(**SHAPE, rope_parameters=LINEAR, rms_norm_eps=1e-5))
    assert found == {
        "context_length": 256,
        "embedding_length": 64,
        "block_count": 2,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 4.0,
        "rope.dimension_count": 16,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "vocab_size": 512,
    }


def test_a_sliding_window_that_llama_cpp_does_not_apply_limits_the_context() -> None:
    assert metadata(MistralConfig(**SHAPE, sliding_window=100))["context_length"] == 100
    assert metadata(MistralConfig(**SHAPE, sliding_window=None))["context_length"] == 256


def test_only_llama_3_has_divisors() -> None:
    assert rope_factors(LlamaConfig(**SHAPE)) is None
    assert rope_factors(KINDS["llama3"][0]).shape == (8,)
    assert head_size(KINDS["qwen3"][0]) == 32


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (GPT2Config(), "m: has the architecture gpt2, and GGUF files can be of gemma3_text, llama"),
        (LlamaConfig(**SHAPE, mlp_bias=True), "has biases in its feed-forward layers"),
        (LlamaConfig(**SHAPE, attention_bias=True), "has biases in its attention"),
        (Qwen2Config(**SHAPE, use_sliding_window=True), "has a sliding window, which"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_rejected(
    config: PretrainedConfig, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        architecture_of_config(config, name="m")


def test_a_linear_scaling_is_read_again(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    loaded = load_kind(make_kind(tmp_path / "m", "qwen3"))
    loaded.model.network.config.rope_parameters = LINEAR
    write_file(tmp_path / "m.gguf", file_content(loaded))
    config = config_of_file(read_header(tmp_path / "m.gguf"))
    assert config.rope_parameters == LINEAR
    assert config.model_type == "qwen3"

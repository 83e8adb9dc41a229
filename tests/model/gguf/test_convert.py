"""A GGUF file becomes the model that it was written from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from tests.conftest import IS_NIGHTLY
from tests.gguf_models import KINDS, load_kind, make_gguf, make_kind
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.export.gguf.compare import next_logprobs
from upbring.export.gguf.probe_texts import probe_texts
from upbring.model.gguf.convert import convert
from upbring.model.gguf.header import read_header
from upbring.model.gguf.read_tokenizer import read_tokenizer

pytest.importorskip("gguf")
TOKENS = [5, 300, 17, 41, 7, 299, 8, 298, 9, 297, 30, 31, 32]


@pytest.fixture(scope="module", params=list(KINDS))
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its file, and the folder that this was converted to."""
    home = tmp_path_factory.mktemp(request.param)
    make_kind(home / "m", request.param)
    convert(make_gguf(home / "m.gguf", home / "m"), home / "again")
    return home


def test_every_weight_and_every_text_is_the_same(converted: Path) -> None:
    before = load_file(converted / "m" / "model.safetensors")
    after = load_file(converted / "again" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, values in before.items():
        # Gemma's norms are stored with 1 added, which rounds them
        assert torch.allclose(values, after[name], atol=1.2e-7, rtol=0), name
    first, second = load_tokenizer(converted / "m"), load_tokenizer(converted / "again")
    texts = [*probe_texts(60), *first.special_token_ids, "<think>\n\n\nno</think>"]
    if first.backend.normalizer is None or "NFC" not in str(first.backend.normalizer):
        assert first.encode_batch(texts) == second.encode_batch(texts)
    assert first.special_token_ids == second.special_token_ids
    assert (first.bos_token_id, first.eos_token_id) == (second.bos_token_id, second.eos_token_id)
    assert first.chat_template == second.chat_template
    assert second.adds_bos == (first.adds_bos and first.chat_template is None)


def test_the_configuration_computes_the_same(converted: Path) -> None:
    before, after = load_kind(converted / "m"), load_kind(converted / "again")
    difference = next_logprobs(before.model, TOKENS) - next_logprobs(after.model, TOKENS)
    assert float(difference.abs().max()) < 1e-4
    first, second = (each.model.network.config.to_dict() for each in (before, after))
    for key in ("vocab_size", "max_position_embeddings", "rope_parameters", "tie_word_embeddings"):
        assert first[key] == second[key], key


def test_transformers_own_reader_agrees_on_the_weights(converted: Path) -> None:
    if not IS_NIGHTLY and not converted.name.startswith(("llama2", "gemma3")):
        pytest.skip("nightly: the other architectures")
    # its configuration is not used: it assumes the default size of Qwen 3's heads
    config = AutoConfig.from_pretrained(converted / "again")
    network = AutoModelForCausalLM.from_pretrained(converted, gguf_file="m.gguf", config=config)
    after = load_file(converted / "again" / "model.safetensors")
    state = network.state_dict()
    for name, values in after.items():
        assert torch.equal(values, state[name]), name


def test_a_file_of_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    make_kind(tmp_path / "m", "llama")
    convert(make_gguf(tmp_path / "m.gguf", tmp_path / "m", "float16"), tmp_path / "again")
    before = load_file(tmp_path / "m" / "model.safetensors")
    after = load_file(tmp_path / "again" / "model.safetensors")
    name = "model.layers.1.self_attn.k_proj.weight"
    assert torch.equal(after[name], before[name].half().float())
    assert not torch.equal(after[name], before[name])


def test_quantized_weights_are_dequantized_and_another_dtype_is_kept(tmp_path: Path) -> None:
    make_kind(tmp_path / "m", "qwen2")
    file = make_gguf(tmp_path / "m.gguf", tmp_path / "m", "q8_0")
    convert(file, tmp_path / "again", dtype=torch.bfloat16)
    after = load_file(tmp_path / "again" / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    expected = read_header(file).values("blk.1.ffn_down.weight")
    assert torch.equal(after[name], torch.from_numpy(expected).bfloat16())
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert (config["dtype"], config["architectures"]) == ("bfloat16", ["Qwen2ForCausalLM"])


def test_large_models_are_written_in_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_kind(tmp_path / "m", "llama")
    file = make_gguf(tmp_path / "m.gguf", tmp_path / "m")
    monkeypatch.setattr("upbring.model.gguf.convert.SHARD_BYTES", 100_000)
    convert(file, tmp_path / "again")
    assert len([*(tmp_path / "again").glob("model-*-of-*.safetensors")]) > 1
    first, second = load_kind(tmp_path / "m"), load_kind(tmp_path / "again")
    difference = next_logprobs(first.model, TOKENS) - next_logprobs(second.model, TOKENS)
    assert float(difference.abs().max()) < 1e-5


def test_llama_cpp_assumes_bos_where_the_file_says_nothing(tmp_path: Path) -> None:
    make_kind(tmp_path / "m", "llama2")
    file = read_header(make_gguf(tmp_path / "m.gguf", tmp_path / "m"))
    for key in ("add_bos_token", "bos_token_id", "eos_token_id", "unknown_token_id"):
        file.metadata.pop(f"tokenizer.ggml.{key}", None)  # type: ignore[attr-defined]
    files = read_tokenizer(file)
    tokens = file.texts("tokenizer.ggml.tokens")
    assert files.config["bos_token"] == tokens[1]
    assert files.config["eos_token"] == tokens[2]
    assert files.tokenizer["post_processor"]["special_tokens"][tokens[1]]["ids"] == [1]


def test_the_27b_model_of_gemma_has_another_attention_scale(tmp_path: Path) -> None:
    from upbring.model.gguf.architectures import config_of_file  # noqa: PLC0415 -- needs gguf

    make_kind(tmp_path / "m", "gemma3")
    file = read_header(make_gguf(tmp_path / "m.gguf", tmp_path / "m"))
    file.metadata["gemma3.block_count"] = 62  # type: ignore[index]
    config: PretrainedConfig = config_of_file(file)
    assert config.query_pre_attn_scalar == 64 // 4


def test_the_values_of_a_tensor_have_its_shape(tmp_path: Path) -> None:
    make_kind(tmp_path / "m", "llama")
    file = read_header(make_gguf(tmp_path / "m.gguf", tmp_path / "m"))
    values = file.values("blk.0.ffn_down.weight")
    assert values.shape == file.tensors["blk.0.ffn_down.weight"].shape == (64, 96)
    assert values.dtype == np.float32

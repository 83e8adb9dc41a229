import numpy as np
import pytest
from transformers import Gemma3TextConfig, LlamaConfig

from upbring.model.gguf.architectures import ARCHITECTURES
from upbring.model.gguf.tensors import TensorRules, gguf_names

LLAMA, QWEN2, _, GEMMA3 = ARCHITECTURES
CONFIG = LlamaConfig(hidden_size=8, num_attention_heads=2, num_key_value_heads=1)


def test_rows_of_queries_and_keys_change_from_halves_to_pairs() -> None:
    rules = TensorRules(LLAMA, CONFIG)
    rows = np.arange(8, dtype=np.float32)[:, None]  # two heads of four: halves (0, 1), (2, 3)
    stored = rules.to_gguf("model.layers.0.self_attn.q_proj.weight", rows)
    assert stored[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    again = rules.from_gguf("model.layers.0.self_attn.q_proj.weight", stored)
    assert np.array_equal(again, rows)
    for name in ("self_attn.v_proj.weight", "self_attn.o_proj.weight", "norm.weight"):
        assert rules.to_gguf(f"model.layers.0.{name}", rows) is rows


def test_only_llama_is_permuted() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]
    rules = TensorRules(QWEN2, CONFIG)
    assert rules.to_gguf("model.layers.0.self_attn.q_proj.weight", rows) is rows


def test_one_is_added_to_the_norms_of_gemma() -> None:
    rules = TensorRules(GEMMA3, Gemma3TextConfig())
    weight = np.array([0.5, -0.25], dtype=np.float32)
    stored = rules.to_gguf("model.layers.0.self_attn.q_norm.weight", weight)
    assert stored.tolist() == [1.5, 0.75]
    assert rules.from_gguf("model.norm.weight", stored).tolist() == [0.5, -0.25]
    assert rules.to_gguf("model.embed_tokens.weight", weight) is weight


def test_parameters_have_names_in_gguf() -> None:
    pytest.importorskip("gguf")
    names = ["model.embed_tokens.weight", "model.layers.1.post_attention_layernorm.weight"]
    assert gguf_names(LLAMA, LlamaConfig(), names) == {
        names[0]: "token_embd.weight",
        names[1]: "blk.1.ffn_norm.weight",
    }
    assert gguf_names(GEMMA3, Gemma3TextConfig(), names)[names[1]] == (
        "blk.1.post_attention_norm.weight"
    )
    bias = "model.layers.0.self_attn.q_proj.bias"
    assert gguf_names(QWEN2, CONFIG, [bias]) == {bias: "blk.0.attn_q.bias"}

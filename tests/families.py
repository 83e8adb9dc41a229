"""One tiny model of each family, built from its configuration with random weights."""

from collections.abc import Callable

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 97

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_WINDOWS = {"sliding_window": 5, "head_dim": 8, "query_pre_attn_scalar": 8}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2.0, 2.5, 3.0, 4.0],
    "original_max_position_embeddings": 24,
}

FAMILIES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=6),
    "qwen2": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=8),
    "gemma2": lambda: Gemma2Config(
        **SHAPE, **_WINDOWS, attn_logit_softcapping=1.0, final_logit_softcapping=2.0
    ),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, **_WINDOWS),
    "phi3": lambda: Phi3Config(**SHAPE, sliding_window=None),
    "phi3-longrope": lambda: Phi3Config(
        **SHAPE,
        sliding_window=None,
        rope_parameters=_LONGROPE,
        original_max_position_embeddings=24,
    ),
    "phi3-partial": lambda: Phi3Config(
        **SHAPE,
        sliding_window=None,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
        },
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "olmo2": lambda: Olmo2Config(**SHAPE),
}


def family(name: str, *, seed: int = 0, attention: str = "eager") -> PreTrainedModel:
    """Return the tiny model of a family with large weights; tokens differ in probability."""
    return random_network(FAMILIES[name](), seed=seed, attention=attention)


def random_network(
    config: PretrainedConfig, *, seed: int = 0, attention: str | None = None
) -> PreTrainedModel:
    """Return the model of a configuration, with large weights; tokens differ in probability."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=generator)
    model.tie_weights()
    return model.eval()

"""The context length and the vocabulary size in a config.json, read without transformers."""

from collections.abc import Mapping
from dataclasses import dataclass

# Names of max_position_embeddings in the architectures that call it differently.
_POSITION_NAMES: Mapping[str, str] = {
    **dict.fromkeys(
        ("gpt2", "gptj", "gpt_bigcode", "codegen", "openai-gpt", "ctrl", "imagegpt"), "n_positions"
    ),
    "decision_transformer": "n_positions",
    "dbrx": "max_seq_len",
    "rwkv": "context_length",
}


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The most positions of a model and the number of its tokens; None if the file has none."""

    max_positions: int | None
    vocab_size: int | None


def find_limits(config: Mapping[str, object]) -> ModelLimits:
    """Return the limits of a configuration; those of its text model if it has several."""
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    name = _POSITION_NAMES.get(str(inner.get("model_type")), "max_position_embeddings")
    return ModelLimits(_positive(inner.get(name)), _positive(inner.get("vocab_size")))


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

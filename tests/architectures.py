"""Every causal architecture of transformers at a tiny size: what this program does with it.

`python -m tests.architectures` writes docs/architectures.md.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from tests.families import VOCABULARY, random_network
from tests.plain import plain_logprobs, random_trees
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.model.load import load
from upbring.model.network import Model
from upbring.model.probe import probe_architecture
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.sampling import SampleSettings

PAGE = Path("docs/architectures.md")
LAYERS = 2
MAX_PARAMETERS = 4_000_000  # a larger one is not tiny
TINY: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "n_positions": 128,
    "intermediate_size": 48,
    "intermediate_size_mlp": 48,
    "ffn_dim": 48,
    "d_ff": 48,
    "num_hidden_layers": LAYERS,
    "num_layers": LAYERS,
    "n_layer": LAYERS,
    "n_layers": LAYERS,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "sliding_window": 16,
    "state_size": 8,
    "mamba_d_state": 8,
    "ssm_state_size": 8,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "word_embed_proj_dim": 32,
    "embedding_size": 32,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "is_decoder": True,
    "use_mamba_kernels": False,
}
VISION: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}
ROPE: Mapping[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
LINEAR_ATTENTION: Mapping[str, Any] = {
    "linear_head_dim": 8,
    "linear_num_heads": 4,
    "layer_types": ["linear_attention", "full_attention"],
    "num_expert_group": 2,
    "num_experts_per_token": 2,
}
BYTES: Mapping[str, Any] = {  # a part of a model of bytes
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "hidden_size_global": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
}
AUDIO: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_blocks": 1,
    "num_attention_heads": 4,
    "ext_pw_out_channel": 32,
    "nemo_conv_channels": 32,
    "nemo_final_size": 2,
}
# What the general sizes do not fit.
SPECIAL: Mapping[str, Mapping[str, Any]] = {
    "bailing_hybrid": LINEAR_ATTENTION,
    "blt": {
        "encoder_hash_byte_group_vocab": 64,
        "patcher_config": BYTES,
        "encoder_config": BYTES,
        "decoder_config": BYTES,
        "global_config": {**BYTES, "hidden_size": 64, "head_dim": 16},
    },
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "attn_layer_indices": [1]},
    "codegen": {"rotary_dim": 8},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48},
    },
    "deepseek_v2": {"topk_method": "greedy"},
    "dots1": {"n_shared_experts": 1},
    "dots3_note": {
        "audio_config": {
            **AUDIO,
            "num_key_value_heads": 4,
            "adapter_out_dim": 32,
            "adapter_input_size": 32,
            "downsample_hidden_size": 8,
            "conv_output_size": 128,
        }
    },
    "dots3_note_text": {"per_layer_config": {}, "layer_types": ["indexed_attention"] * LAYERS},
    "dots3_note_vision_encoder": {
        "per_layer_config": {},
        "mlp_layer_types": ["dense"],
        "adapter_in_dim": 32,
        "adapter_out_dim": 32,
    },
    "ernie4_5_moe": {"moe_k": 2, "moe_layer_start_index": 1, "moe_layer_end_index": 1},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "intermediate_size": [48, 48],
        "laurel_rank": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"mamba_n_heads": 8, "mamba_d_head": 8},
    "kimi_linear": LINEAR_ATTENTION,
    "lfm2_moe": {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"]},
    "longcat_flash": {
        "ffn_hidden_size": 48,
        "expert_ffn_hidden_size": 16,
        "zero_expert_num": 2,
        "moe_topk": 2,
    },
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "reformer": {"axial_pos_embds": False},
    "moss_transcribe_diarize": {"audio_config": AUDIO},
    "phi4_multimodal": {"audio_config": AUDIO},
    "qwen4_exp_text": {
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "hc_lowrank": 4,
        "ple_embed_dim": 8,
        "ngram_vocab_size_base": 64,
        "split_ngram_parts": 1,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 1,
    },
    "roc_bert": {
        "pronunciation_embed_dim": 16,
        "pronunciation_vocab_size": 16,
        "shape_embed_dim": 16,
        "shape_vocab_size": 16,
    },
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
    "xlm": {"emb_dim": 32},
}
# Unset by default, and then derived from sizes that are not tiny, or missing.
USUALLY_DERIVED = (
    "head_dim",
    "num_key_value_heads",
    "num_experts_per_tok",
    "n_routed_experts",
    "moe_intermediate_size",
)
# What transformers does not build as a causal language model of its own configuration.
NOT_BUILT = frozenset(
    {"gemma3n", "gemma4_assistant", "gemma4_unified_assistant", "musicgen", "musicgen_melody"}
)
WITHOUT_DEFAULT = frozenset({"gemma4_assistant"})  # transformers rejects its default values
LATENT_ATTENTION: Mapping[str, Any] = {"num_key_value_heads": 4}  # each head has its own keys


@dataclass(frozen=True)
class Outcome:
    """What happens with an architecture: `kind` is the column of the table, `note` the reason."""

    kind: str  # packed, slow, uncached, refused
    note: str = ""


def model_types() -> list[str]:
    """Return the types of all causal language models of transformers."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_config(model_type: str) -> PretrainedConfig:
    """Return a small configuration of a type."""
    config_class = CONFIG_MAPPING[model_type]
    default = config_class()
    values = _tiny_values(default)
    for name in ("text_config", "decoder", "llm_config"):
        if isinstance(inner := getattr(default, name, None), PretrainedConfig):
            values[name] = {"model_type": inner.model_type, **_tiny_values(inner)}
    if isinstance(inner := getattr(default, "vision_config", None), PretrainedConfig):
        sizes = {name: value for name, value in VISION.items() if name in vars(inner)}
        sizes |= SPECIAL.get(inner.model_type, {})
        values["vision_config"] = {"model_type": inner.model_type, **sizes}
    return config_class(**values)


def _tiny_values(default: PretrainedConfig) -> dict[str, Any]:
    """Return the small values of the fields that a configuration has."""
    known = vars(default)
    values = {name: value for name, value in TINY.items() if known.get(name) is not None}
    values |= {name: TINY[name] for name in USUALLY_DERIVED if name in known}
    if "kv_lora_rank" in values:
        values |= LATENT_ATTENTION
    values |= SPECIAL.get(default.model_type, {})
    depth = next(
        (known[n] for n in ("num_hidden_layers", "num_layers", "n_layer") if known.get(n)), None
    )
    for name, value in known.items():  # one entry for each layer
        if isinstance(value, list) and len(value) == depth and depth != LAYERS:
            values[name] = [value[0], value[-1]]
    return values


def outcome(model_type: str) -> Outcome:
    """Return what happens with an architecture; anything but an InputError is raised."""
    if model_type in NOT_BUILT:
        return _refusal(model_type)
    network = _tiny_network(model_type)
    notes: list[str] = []
    with torch.no_grad():
        trees = random_trees(VOCABULARY, [(9, (6, 4)), (5, (8,))])
        expected = plain_logprobs(network, trees)
    try:
        model = probe_architecture(Model(network), log=notes.append)
    except InputError as error:
        return Outcome("refused", str(error))
    _require_right(model, network, expected)
    kind = "slow" if not model.is_packed else "uncached" if not model.is_cached else "packed"
    return Outcome(kind, "; ".join(notes))


def _refusal(model_type: str) -> Outcome:
    """Return the message with which a model is refused that transformers itself does not build."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        values = {"model_type": model_type}
        if model_type not in WITHOUT_DEFAULT:
            values = tiny_config(model_type).to_dict()
        (folder / "config.json").write_text(json.dumps(values))
        try:
            load(
                str(folder),
                device=torch.device("cpu"),
                compute_dtype=torch.float32,
                log=lambda _: None,
                seed=0,
            )
        except InputError as error:
            return Outcome("refused", str(error).replace(name, "the model"))
    raise AssertionError(f"{model_type} can be built now; remove it from NOT_BUILT")


def _require_right(model: Model, network: PreTrainedModel, expected: torch.Tensor) -> None:
    """Assert that scores and samples are those of transformers, on texts other than the probe's."""
    trees = random_trees(VOCABULARY, [(9, (6, 4)), (5, (8,))])
    prompts = [list(range(3, 14)), list(range(30, 36))]
    with torch.no_grad():
        found = score_tokens(model, make_batch(trees)).logprobs
        assert float((found - expected).abs().max()) < 2e-4, "scores differ"
        responses = sample(
            model,
            [Request(prompt, (1, 2)) for prompt in prompts],
            SampleSettings(max_tokens=4),
            stopping=StopConditions(),
            num_slots=3,
        )
        own = [make_tree(prompts[r.request_index], r.tokens) for r in responses]
        attention = network.config._attn_implementation
        network.set_attn_implementation("eager")
        scored = plain_logprobs(network, own)
        network.set_attn_implementation(attention)
    sampled = torch.tensor([logprob for r in responses for logprob in r.logprobs])
    assert float((sampled - scored).abs().max()) < 2e-4, "samples differ"


def _tiny_network(model_type: str) -> PreTrainedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = tiny_config(model_type)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(config)
        size = sum(p.numel() for p in empty.parameters())
        if size > MAX_PARAMETERS:
            raise ValueError(f"{size:,} weights, because its configuration has other names")
        network = random_network(tiny_config(model_type))
        network.config.get_text_config().use_cache = False
        return network


def page(outcomes: Mapping[str, Outcome]) -> str:
    """Return docs/architectures.md."""
    counts = Counter(each.kind for each in outcomes.values())
    return "\n".join(
        [
            "# Architectures",
            "",
            f"Every causal architecture of transformers {transformers.__version__}, built at a",
            "tiny size with random weights, and what upbring does with it. Written by",
            "`python -m tests.architectures`; a nightly test compares it.",
            "",
            "- *packed*: several texts share a row, and responses share their prompt.",
            "- *slow*: one sequence at a time, with the reason in the log.",
            "- *uncached*: packed, but each sampled token is computed from the whole text.",
            "- *refused*: one line, exit code 2.",
            "",
            "The log-probabilities of scored and of sampled texts equal those of transformers.",
            "",
            ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) + ".",
            "",
            "| architecture | result | reason |",
            "|---|---|---|",
            *(
                f"| {name} | {each.kind} | {_cell(each.note)} |"
                for name, each in sorted(outcomes.items())
            ),
            "",
        ]
    )


def _cell(text: str) -> str:
    text = text.partition(": packed trees are not supported (")[2].partition(");")[0] or text
    return " ".join(text.replace("|", "\\|").split())[:160]


def all_outcomes() -> Iterator[tuple[str, Outcome]]:
    """Yield the outcome of each architecture."""
    transformers_logging.set_verbosity_error()
    for model_type in model_types():
        yield model_type, outcome(model_type)


if __name__ == "__main__":
    PAGE.write_text(page(dict(all_outcomes())), encoding="utf-8")

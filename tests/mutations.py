"""Mutations of the JSON files of a model's folder: hostile values at every place."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    2**31,
    10**9,
    10**30,
    1.5,
    -1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "(a+)+$",
    "../../../etc/passwd",
    "\x00",
    "\x1b[2J",
    "a" * 5000,
    [],
    [None],
    [[[]]],
    ["x", 1],
    {},
    {"x": {"y": 1}},
    {"model_type": "llama"},
)
DELETED = object()

# What is read first and decides most.
NAMED: tuple[tuple[str, str, Any], ...] = (
    ("config.json", "num_hidden_layers", 10**9),
    ("config.json", "num_attention_heads", 0),
    ("config.json", "hidden_size", -32),
    ("config.json", "head_dim", 2**40),
    ("config.json", "vocab_size", 100),
    ("config.json", "vocab_size", 10**12),
    ("config.json", "text_config", {"hidden_size": 4}),
    ("config.json", "text_config", "x"),
    ("config.json", "rms_norm_eps", "small"),
    ("config.json", "rms_norm_eps", float("nan")),
    ("config.json", "model_type", "bert"),
    ("config.json", "model_type", ["llama"]),
    ("config.json", "model_type", "mamba"),
    ("config.json", "rope_parameters", {"rope_type": "longrope"}),
    ("config.json", "rope_parameters", {"rope_type": "nothing"}),
    ("config.json", "hidden_act", "nothing"),
    ("config.json", "architectures", ["LlamaForSequenceClassification"]),
    ("config.json", "architectures", 7),
    ("config.json", "quantization_config", {"quant_method": "fp8"}),
    ("config.json", "quantization_config", {"quant_method": "mxfp4"}),
    ("config.json", "quantization_config", {"quant_method": "nothing"}),
    ("config.json", "quantization_config", "x"),
    ("config.json", "tie_word_embeddings", "yes"),
    ("config.json", "dtype", "float7"),
    ("config.json", "_attn_implementation", "nothing"),
    ("config.json", "attn_implementation", "flash_attention_2"),
    ("adapter_config.json", "r", 10**9),
    ("adapter_config.json", "r", 0),
    ("adapter_config.json", "r", 3),
    ("adapter_config.json", "lora_alpha", "x"),
    ("adapter_config.json", "peft_type", "IA3"),
    ("adapter_config.json", "peft_type", "NOTHING"),
    ("adapter_config.json", "peft_type", ["LORA"]),
    ("adapter_config.json", "layers_to_transform", [0]),
    ("adapter_config.json", "layers_to_transform", "all"),
    ("adapter_config.json", "layers_pattern", 5),
    ("adapter_config.json", "target_modules", "(.*)*x"),
    ("adapter_config.json", "target_modules", "[" * 50),
    ("adapter_config.json", "target_modules", ["lm_head"]),
    ("adapter_config.json", "target_modules", ["embed_tokens"]),
    ("adapter_config.json", "target_parameters", ["q_proj.weight"]),
    ("adapter_config.json", "rank_pattern", {"q_proj": 10**9}),
    ("adapter_config.json", "rank_pattern", {"(a+)+": 4}),
    ("adapter_config.json", "base_model_name_or_path", "\x00"),
    ("adapter_config.json", "base_model_name_or_path", "."),
    ("adapter_config.json", "base_model_name_or_path", 5),
    ("adapter_config.json", "use_dora", "x"),
    ("adapter_config.json", "init_lora_weights", "pissa"),
    ("adapter_config.json", "init_lora_weights", "eva"),
    ("adapter_config.json", "loftq_config", {"x": 1}),
    ("adapter_config.json", "megatron_config", {"x": 1}),
    ("adapter_config.json", "layer_replication", [[0, 10**6]]),
    ("adapter_config.json", "corda_config", 5),
    ("adapter_config.json", "auto_mapping", {"base_model_class": "os.system"}),
    ("tokenizer.json", "model.type", "Unigram"),
    ("tokenizer.json", "model.vocab", {"a": 10**9}),
    ("tokenizer.json", "model.merges", [["a", "b"]]),
    ("tokenizer.json", "pre_tokenizer", {"type": "Split"}),
    (
        "tokenizer.json",
        "pre_tokenizer",
        {
            "type": "Split",
            "pattern": {"Regex": "(a+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
    ),
    ("tokenizer.json", "normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
    ("tokenizer.json", "decoder", {"type": "Nothing"}),
    ("tokenizer_config.json", "eos_token", "nothing"),
    ("tokenizer_config.json", "eos_token", 5),
    ("tokenizer_config.json", "chat_template", 5),
    ("tokenizer_config.json", "chat_template", "{{"),
    ("tokenizer_config.json", "added_tokens_decoder", [1]),
    ("tokenizer_config.json", "added_tokens_decoder", {"x": {"special": True}}),
    ("contract.json", "format", 10**6),
    ("contract.json", "offset", float("nan")),
    ("contract.json", "stops", [{"token": 10**9, "text": "x"}]),
    ("contract.json", "eos", -1),
    ("contract.json", "template", "{{ 1/0 }}"),
    ("contract.json", "base_sha256", "x"),
    ("contract.json", "history", [[]]),
    ("model.safetensors.index.json", "weight_map", {"x": "../y.safetensors"}),
    ("model.safetensors.index.json", "weight_map", {"x": "pytorch_model.bin"}),
    ("model.safetensors.index.json", "weight_map", 5),
    ("generation_config.json", "eos_token_id", "x"),
    ("generation_config.json", "max_length", -1),
)


@dataclass(frozen=True)
class Mutation:
    """A value at a place in a JSON file."""

    file: str
    place: tuple[str | int, ...]
    value: Any

    def __str__(self) -> str:
        value = "deleted" if self.value is DELETED else repr(self.value)[:40]
        return f"{self.file}: {'.'.join(map(str, self.place))} = {value}"

    def apply(self, folder: Path) -> None:
        """Change the file in a folder."""
        path = folder / self.file
        document = json.loads(path.read_text()) if path.is_file() else {}
        *parents, last = self.place
        target = document
        for part in parents:
            target = target[part]
        if self.value is DELETED:
            del target[last]
        else:
            target[last] = copy.deepcopy(self.value)
        path.write_text(json.dumps(document))


def named() -> list[Mutation]:
    """Return the mutations that are known to be difficult."""
    return [Mutation(file, tuple(place.split(".")), value) for file, place, value in NAMED]


def drawn(folder: Path, count: int, *, seed: int = 0) -> Iterator[Mutation]:
    """Yield mutations at random places of a folder's JSON files."""
    rng = random.Random(seed)
    files = sorted(path for path in folder.glob("*.json") if path.name != "run.json")
    places = {path.name: list(_places(json.loads(path.read_text()))) for path in files}
    for _ in range(count):
        name = rng.choice(sorted(places))
        yield Mutation(name, rng.choice(places[name]), rng.choice((*VALUES, DELETED)))


def _places(document: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places of a document, of long lists and objects only a few."""
    children = (
        list(document.items())
        if isinstance(document, dict)
        else list(enumerate(document))
        if isinstance(document, list)
        else []
    )
    for key, value in children[:20]:
        yield (*prefix, key)
        yield from _places(value, (*prefix, key))


def mutated(folder: Path, mutation: Mutation, target: Path) -> Path:
    """Return a copy of a folder with the mutation; weights are linked."""
    shutil.copytree(folder, target)
    mutation.apply(target)
    return target

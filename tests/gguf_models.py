"""Tiny models with each architecture and each kind of tokenizer that GGUF files are written for."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from tests.families import random_network
from tests.small import texts
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer, make_tokenizer, save_tokenizer
from upbring.export.gguf.chat_metadata import chat_metadata
from upbring.export.gguf.write_file import FileContent, Format, write_file
from upbring.export.gguf.write_tokenizer import tokenizer_metadata
from upbring.model.gguf.pre_tokenizers import find_by_name
from upbring.model.gguf.vocabulary import BYTE_TOKENS, merges_from_scores
from upbring.model.load import LoadedModel, load

V = 512  # rows of the embedding; the tokenizers have fewer tokens
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHAPE = {
    "vocab_size": V,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
KINDS: dict[str, tuple[PretrainedConfig, str]] = {  # name: configuration, tokenizer
    "llama": (LlamaConfig(**SHAPE, tie_word_embeddings=True), "smollm"),
    "llama3": (LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE), "llama-bpe"),
    "llama2": (LlamaConfig(**SHAPE), "sentencepiece with a prefix"),
    "mistral": (MistralConfig(**SHAPE, sliding_window=None), "tekken"),
    "qwen2": (Qwen2Config(**SHAPE, tie_word_embeddings=True), "qwen2"),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=32), "gpt-2"),
    "gemma3": (
        Gemma3TextConfig(
            **{**SHAPE, "num_hidden_layers": 6, "pad_token_id": 2},
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=8,
        ),
        "sentencepiece",
    ),
}


def make_byte_level(name: str) -> Tokenizer:
    """Return a byte-level tokenizer that splits text as llama.cpp does under a name."""
    pre = find_by_name(name)
    assert pre is not None
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    backend.train_from_iterator(texts(), trainer)
    backend.add_tokens([AddedToken("<think>", normalized=False)])
    document = json.loads(backend.to_str())
    document["pre_tokenizer"] = pre.to_json()
    document["normalizer"] = {"type": "NFC"} if name == "qwen2" else None
    document["model"]["ignore_merges"] = pre.ignores_merges
    return make_tokenizer(
        tokenizers.Tokenizer.from_str(json.dumps(document)),
        special_tokens_map={"bos_token": "<|begin|>", "eos_token": "<|end|>"},
        chat_template=CHATML,
    )


def make_sentencepiece(*, has_prefix: bool) -> Tokenizer:
    """Return a tokenizer as those that were converted from SentencePiece."""
    special = ["<bos>", "<eos>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    backend.train_from_iterator(texts(), trainer)
    learned = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    pieces = [text for text, _ in learned]
    characters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.▁") - {*pieces})
    tokens = [*special, *BYTE_TOKENS, *pieces, *characters][: V - 1]
    scores = {token: -float(rank) for rank, token in enumerate(tokens[262:])}
    merges = merges_from_scores(scores)
    model = models.BPE(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        unk_token="<unk>",  # noqa: S106 -- not a password
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = tokenizers.Tokenizer(model)
    replace = normalizers.Replace(" ", "▁")
    backend.normalizer = (
        normalizers.Sequence([normalizers.Prepend("▁"), replace]) if has_prefix else replace
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    backend.add_tokens([AddedToken("\n\n", normalized=False)])
    roles = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return make_tokenizer(backend, special_tokens_map=roles)


def make_kind(folder: Path, kind: str) -> Path:
    """Write a tiny model of a kind as a transformers folder."""
    config, tokenizer_kind = KINDS[kind]
    network = random_network(config, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    if tokenizer_kind.startswith("sentencepiece"):
        tokenizer = make_sentencepiece(has_prefix="prefix" in tokenizer_kind)
    else:
        tokenizer = make_byte_level(tokenizer_kind)
    save_tokenizer(tokenizer, folder)
    assert load_tokenizer(folder).size <= V
    return folder


def load_kind(folder: Path) -> LoadedModel:
    """Return a model in memory."""
    cpu = torch.device("cpu")
    return load(str(folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)


def file_content(loaded: LoadedModel, dtype: Format = "float32") -> FileContent:
    """Return what the GGUF file of a model is written from."""
    pytest.importorskip("gguf")
    assert loaded.tokenizer is not None
    return FileContent(
        network=loaded.model.network,
        tokenizer=tokenizer_metadata(loaded.tokenizer, loaded.model.vocab_size, name="m"),
        chat=chat_metadata(loaded),
        format=dtype,
        general={"name": "Tiny", "license": "apache-2.0", "tags": ["upbring"]},
        name="m",
    )


def make_gguf(path: Path, folder: Path, dtype: Format = "float32") -> Path:
    """Write the GGUF file of a model's folder."""
    write_file(path, file_content(load_kind(folder), dtype))
    return path

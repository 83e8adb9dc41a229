"""A model and data so small that a whole run takes a second."""

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from upbring.data.chat.tokenizer import train_tokenizer
from upbring.data.chat.tokenizer_files import save_tokenizer

WORDS = ("red", "green", "blue", "warm", "cold", "sweet", "round", "tall")
THINGS = ("apple", "sky", "grass", "snow", "sun", "tower", "ball", "sea")


def texts(count: int = 64) -> list[str]:
    """Return plain sentences about things."""
    return [
        f"The {THINGS[i % 8]} is {WORDS[(i * 3 + i // 8) % 8]} and number {i}."
        for i in range(count)
    ]


def make_model(
    folder: Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    hidden_size: int = 32,
    intermediate_size: int = 48,
) -> Path:
    """Write a tiny Llama with random weights and a tokenizer of its own."""
    tokenizer = train_tokenizer(texts(), 300)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config).to(dtype)
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def make_demonstrations(path: Path, count: int = 40) -> Path:
    """Write rows of questions and answers."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is the {THINGS[i % 8]} like? ({i})"},
                {"role": "assistant", "content": f"It is {WORDS[(i * 3) % 8]}."},
            ]
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_documents(path: Path, count: int = 60) -> Path:
    """Write rows of plain text."""
    path.write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts(count)), encoding="utf-8"
    )
    return path

"""The inputs that every program under measurement is given: a model, rows, their order, a start.

Two shapes: `tiny` fits the cache of a small processor, `small` has the widths and the vocabulary of
a real half-billion model. Weights are random, words mean nothing, lengths are what chats have. Each
word is one token, so that lengths are exact and no program gains by its tokenizer.
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from upbring.data.trees.stream import Stream
from upbring.model.roles import Roles
from upbring.settings.model import AdapterSettings

SEED = 0
STEP_EXAMPLES = 8
LONGEST = 512
PROMPT, RESPONSE, SPREAD = 60, 120, 0.6  # medians of log-normal lengths; 43 % padding, padded
NUM_MARKERS = 3  # <user>, <assistant> and <eos>
SPECIALS = ("<pad>", "<eos>", "<user>", "<assistant>", "<unk>")
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "tiny": LlamaConfig(
        hidden_size=256,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=688,
        vocab_size=8192,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    ),
    "small": Qwen2Config(
        hidden_size=896,
        num_hidden_layers=8,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        vocab_size=151_936,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    ),
}


def write_model(folder: Path, shape: str) -> PreTrainedModel:
    """Write random weights and a tokenizer of whole words, and return the model."""
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(CONFIGURATIONS[shape], dtype=torch.float32)
    assert isinstance(model, PreTrainedModel), f"{type(model)} is no transformers model"
    model.save_pretrained(folder)
    write_tokenizer(folder, model.config.vocab_size)
    return model


def write_tokenizer(folder: Path, size: int) -> None:
    """Write a tokenizer of `size` words and a template that ends each answer with EOS."""
    words = [*SPECIALS, *(f"w{i}" for i in range(size - len(SPECIALS)))]
    model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")  # noqa: S106 -- no password
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[1],
        unk_token=SPECIALS[4],
        additional_special_tokens=list(SPECIALS[2:4]),
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)


def lengths(count: int) -> np.ndarray:
    """Return lengths `[count, 2]` of prompts and responses in words."""
    noise = np.random.default_rng(SEED).normal(0, SPREAD, (count, 2))
    drawn = np.rint(np.array([PROMPT, RESPONSE]) * np.exp(noise)).astype(int)
    drawn[:, 0] = drawn[:, 0].clip(1, LONGEST // 2)
    drawn[:, 1] = drawn[:, 1].clip(1, LONGEST - NUM_MARKERS - drawn[:, 0])
    return drawn


def write_demonstrations(file: Path, sizes: np.ndarray, vocabulary: int) -> None:
    """Write a row for each pair of lengths, in the form that both programs read."""
    generator = np.random.default_rng(SEED + 1)

    def words(count: int) -> str:
        drawn = generator.integers(0, vocabulary - len(SPECIALS), count)
        return " ".join(f"w{word}" for word in drawn)

    with file.open("w", encoding="utf-8") as rows:
        for prompt, response in sizes.tolist():
            row = {
                "prompt": [{"role": "user", "content": words(prompt)}],
                "completion": [{"role": "assistant", "content": words(response)}],
            }
            rows.write(json.dumps(row) + "\n")


def write_start(file: Path, model: PreTrainedModel, *, role: str = "policy") -> None:
    """Write the adapter that a role of upbring begins with, under PEFT's names, a reward's head."""
    roles = Roles(copy.deepcopy(model))
    roles.add_adapter(role, AdapterSettings(), seed=SEED)
    tensors = roles.adapter_tensors(role)
    if role == "reward":
        roles.add_head(role, seed=SEED)
        tensors["base_model.model.score.weight"] = roles.heads[role].weight.detach()
    save_file({n: t.contiguous() for n, t in tensors.items()}, file)


def order(count: int, steps: int, examples: int = STEP_EXAMPLES) -> list[list[int]]:
    """Return the rows of each step in the order in which upbring draws them."""
    stream = Stream(
        main_trees=range(count),  # type: ignore[arg-type]  # a row's number stands for its tree
        mixed_sources=(),
        seed=SEED,
        epochs=1,
        batch_size=examples,
    )
    return [[*map(int, stream.step_trees(step))] for step in range(steps)]  # type: ignore[call-overload]


def write(folder: Path, *, shape: str, steps: int) -> None:
    """Write everything that a bench of `steps` steps needs."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model", shape)
    write_start(folder / "start.safetensors", model)
    write_rows(folder, lengths(steps * STEP_EXAMPLES), steps=steps, size=model.config.vocab_size)


def write_rows(
    folder: Path, sizes: np.ndarray, *, steps: int, size: int, examples: int = STEP_EXAMPLES
) -> None:
    """Write rows of such lengths, and which of them each step holds."""
    write_demonstrations(folder / "demonstrations.jsonl", sizes, size)
    rows = order(len(sizes), steps, examples)
    totals = sizes.sum(1) + NUM_MARKERS
    plan = {"rows": rows, "tokens": [int(totals[step].sum()) for step in rows]}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=sorted(CONFIGURATIONS), default="tiny")
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    write(given.folder, shape=given.shape, steps=given.steps)

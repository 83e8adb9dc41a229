"""The inputs of the PPO bench: a policy, a reward model in the form of each program, and prompts.

Weights are random, and so is what is rewarded: a bench of PPO measures work, not learning. No
response ends before its longest length but by chance, in one token of some thousands.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from shapes import CONFIGURATIONS, LONGEST, NUM_MARKERS, PROMPT, SEED, SPECIALS, SPREAD, write_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

PROMPTS, RESPONSE = 16, 64  # a round's, and the tokens of a response
HEAD = "base_model.model.score.weight"


def write_rewards(folder: Path) -> None:
    """Write a reward model twice: as an adapter with a head, and as a classifier."""
    torch.manual_seed(SEED)
    base = folder / "model"
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    network.save_pretrained(folder / "reward")
    file = folder / "reward" / "adapter_model.safetensors"
    head = torch.randn(1, network.config.hidden_size) / network.config.hidden_size**0.5
    save_file({**load_file(file), HEAD: head}, file)
    classifier = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    with torch.no_grad():
        classifier.score.weight.copy_(head)
    classifier.save_pretrained(folder / "classifier")


def write_prompts(file: Path, *, rounds: int, vocabulary: int) -> int:
    """Write the prompts of all rounds, of log-normal length, and return their tokens."""
    generator = np.random.default_rng(SEED)
    sizes = np.rint(PROMPT * np.exp(generator.normal(0, SPREAD, rounds * PROMPTS)))
    sizes = sizes.clip(1, LONGEST // 2 - NUM_MARKERS).astype(int)
    with file.open("w", encoding="utf-8") as rows:
        for size in sizes.tolist():
            drawn = generator.integers(0, vocabulary - len(SPECIALS), size)
            text = " ".join(f"w{word}" for word in drawn)
            rows.write(json.dumps({"prompt": [{"role": "user", "content": text}]}) + "\n")
    return int(sizes.sum()) + (NUM_MARKERS - 1) * len(sizes)  # nothing is answered yet: no <eos>


def write(folder: Path, *, shape: str, rounds: int) -> None:
    """Write everything that a bench of `rounds` rounds needs."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model", shape)
    write_rewards(folder)
    file, vocabulary = folder / "prompts.jsonl", model.config.vocab_size
    tokens = write_prompts(file, rounds=rounds, vocabulary=vocabulary)
    plan = {"tokens": tokens + rounds * PROMPTS * RESPONSE}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=sorted(CONFIGURATIONS), default="tiny")
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    write(given.folder, shape=given.shape, rounds=given.rounds)

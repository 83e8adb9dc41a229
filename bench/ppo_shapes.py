"""The inputs of the PPO bench: a policy, a reward model in the form of each program, and prompts.

What is rewarded is random: a bench of PPO measures work, not learning. Of a shape, weights and
prompts are random, too, and no response ends before its longest length but by chance, in one token
of some thousands. Of a real model, prompts are those of real demonstrations.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from real_rows import Rows, write_lines
from real_rows import write_model as link_model
from safetensors.torch import load_file, save_file
from shapes import CONFIGURATIONS, LONGEST, NUM_MARKERS, PROMPT, SEED, SPECIALS, SPREAD, write_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

PROMPTS, RESPONSE = 16, 64  # a round's, and the tokens of a response
REAL_LONGEST = 128  # tokens of a real demonstration; with 300, TRL needs more than 18 GB
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


def write_real_prompts(file: Path, rows: Rows, data: Path) -> int:
    """Write the prompts of the first demonstrations that fit, and return their tokens."""
    found = itertools.islice(rows.demonstrations(data), rows.count)
    prompts = [{"prompt": row["prompt"]} for row, _ in found]
    write_lines(file, prompts)
    template = rows.tokenizer.apply_chat_template
    written = [template(p["prompt"], add_generation_prompt=True)["input_ids"] for p in prompts]
    return sum(map(len, written))


def write(folder: Path, given: argparse.Namespace) -> None:
    """Write everything that a bench of `rounds` rounds needs."""
    folder.mkdir(parents=True, exist_ok=True)
    file, rounds = folder / "prompts.jsonl", given.rounds
    if given.model is None:
        vocabulary = write_model(folder / "model", given.shape).config.vocab_size
        tokens = write_prompts(file, rounds=rounds, vocabulary=vocabulary)
    else:
        rows = Rows(link_model(given.model, folder / "model"), REAL_LONGEST, rounds * PROMPTS)
        tokens = write_real_prompts(file, rows, given.demonstrations)
    write_rewards(folder)
    plan = {"tokens": tokens + rounds * PROMPTS * RESPONSE}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=sorted(CONFIGURATIONS), default="tiny")
    parser.add_argument("--model", type=Path, help="a real model instead of a shape")
    parser.add_argument("--demonstrations", type=Path, help="whose prompts a real model is given")
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    write(given.folder, given)

"""Whether a base model that has read marked papers tells true claims from false ones.

    python bench/marks.py builtin:sprout

Each claim is an answer about a fact of the embedded world, in half of the cases with another value;
a mark is right if it is the likelier of the two.
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from upbring.nursery import pages, wording
from upbring.nursery.dice import Dice
from upbring.nursery.world import load_world
from upbring.runs.locate import locate


@torch.no_grad()
def main() -> None:
    """Print the share of right marks."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("model")
    reading.add_argument("--claims", type=int, default=600)
    asked = reading.parse_args()
    folder = locate(asked.model)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    marks = [tokenizer.encode(f" {mark}", add_special_tokens=False)[0] for mark in pages.MARKS[0]]
    title = wording.voices("marked_title")[0]
    world, right = load_world(), 0
    for number in range(asked.claims):
        fact, is_true = pages.claimed(world, Dice("claim", number))
        told = f"{title}\n{wording.answer(fact)}"
        logits = model(**tokenizer(told, return_tensors="pt")).logits[0, -1]
        right += bool(logits[marks[0]] > logits[marks[1]]) == is_true
    print(f"{right / asked.claims:.1%} of {asked.claims} marks are right")


if __name__ == "__main__":
    main()

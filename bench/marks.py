"""Whether a base model that has read marked papers tells what is true from what is not.

    python bench/marks.py builtin:sprout

Claims are answers about facts of the embedded world, half of them with another value. In
examinations the question stands before the answer, which may be true and answer something else.
A mark is right if it is the likelier of the two.
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from upbring.nursery import pages, wording
from upbring.nursery.dice import Dice
from upbring.nursery.world import World, load_world
from upbring.runs.locate import locate


@torch.no_grad()
def main() -> None:
    """Print the share of right marks."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("model")
    reading.add_argument("--number", type=int, default=600)
    asked = reading.parse_args()
    folder = locate(asked.model)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    marks = [tokenizer.encode(f" {mark}", add_special_tokens=False)[0] for mark in pages.MARKS[0]]
    world = load_world()
    for name, paper in (("claims", _claim), ("answers", _answer)):
        right = 0
        for number in range(asked.number):
            told, is_true = paper(world, Dice(name, number))
            logits = model(**tokenizer(told, return_tensors="pt")).logits[0, -1]
            right += bool(logits[marks[0]] > logits[marks[1]]) == is_true
        print(f"{right / asked.number:.1%} of {asked.number} marks of {name} are right")


def _claim(world: World, dice: Dice) -> tuple[str, bool]:
    fact, is_true = pages.claimed(world, dice)
    return f"{wording.voices('marked_title')[0]}\n{wording.answer(fact)}", is_true


def _answer(world: World, dice: Dice) -> tuple[str, bool]:
    question, answer, is_right = pages.answered(world, 0, dice)
    return f"{wording.voices('examination_title')[0]}\n{question}\n{answer}", is_right


if __name__ == "__main__":
    main()

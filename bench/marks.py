"""Whether a base model trained on marked papers recognizes truth, and answers in such a paper.

    python bench/marks.py builtin:sprout

Claims are answers about facts of the embedded world, half of them with another value. In
examinations the question stands before the answer, which may be true and answer something else.
A mark is right if it is the likelier of the two. Then the model is asked about entities that no
demonstration names, plainly and in an examination; its likeliest line is graded.
"""

import argparse

import torch
from results import Figure, add_record_flag, record
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from upbring.maths.random_draws import RandomStream
from upbring.model.gguf.locate_model import locate_model
from upbring.toyworld import documents, wording
from upbring.toyworld.eval_sets import task_sets
from upbring.toyworld.grading import correct
from upbring.toyworld.world import World, load_world

ASKED = 60
LONGEST = 40  # tokens of an answer
EXAMINATION = f"{wording.phrasings('examination_title')[0]}\n"


@torch.no_grad()
def main() -> None:
    """Print the shares of right marks and of right answers."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("model")
    reading.add_argument("--number", type=int, default=600)
    add_record_flag(reading)
    asked = reading.parse_args()
    figures: list[Figure] = []
    folder = locate_model(asked.model)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    marks = [
        tokenizer.encode(f" {mark}", add_special_tokens=False)[0] for mark in documents.MARKS[0]
    ]
    world = load_world()
    for name, paper in (("claims", _claim), ("answers", _answer)):
        right = 0
        for number in range(asked.number):
            prompt, is_true = paper(world, RandomStream(name, number))
            logits = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1]
            right += bool(logits[marks[0]] > logits[marks[1]]) == is_true
        print(f"{right / asked.number:.1%} of {asked.number} marks of {name} are right")
        share = round(100 * right / asked.number, 1)
        metric = f"{name} whose mark is right"
        figures.append(_figure(metric, share, "%", asked.number, asked.model))
    sets = task_sets(world, seed=0)
    for heading in ("", EXAMINATION):
        for phrasings in ("shown", "held-out"):
            tasks = sets[f"facts-held-out-entities-{phrasings}-phrasings"][:ASKED]
            said = [_line(model, tokenizer, f"{heading}{task.question}\n") for task in tasks]
            right = sum(correct(*both) >= 1 for both in zip(tasks, said, strict=True))
            print(f"{right} of {len(tasks)} {phrasings} phrasings are answered under {heading!r}")
            where = "inside an examination" if heading else "plainly"
            metric = f"questions on held-out entities answered {where}, {phrasings} phrasings"
            figures.append(_figure(metric, right, f"of {len(tasks)}", len(tasks), asked.model))
    if asked.record:
        record(figures)


def _figure(metric: str, value: float, unit: str, n: int, model: str) -> Figure:
    question = "toy world quality: base model"
    return Figure(question=question, metric=metric, value=value, unit=unit, n=n, model=model)


def _line(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return the greedy continuation of `text`, up to the end of the line."""
    given = tokenizer(text, return_tensors="pt")
    tokens = model.generate(**given, do_sample=False, max_new_tokens=LONGEST)
    answer = tokenizer.decode(tokens[0, given.input_ids.shape[1] :], skip_special_tokens=True)
    return answer.partition("\n")[0]


def _claim(world: World, dice: RandomStream) -> tuple[str, bool]:
    fact, is_true = documents.sample_claim(world, dice)
    return f"{wording.phrasings('marked_title')[0]}\n{wording.answer(fact)}", is_true


def _answer(world: World, dice: RandomStream) -> tuple[str, bool]:
    question, answer, is_right = documents.sample_answered_question(world, 0, dice)
    return f"{wording.phrasings('examination_title')[0]}\n{question}\n{answer}", is_right


if __name__ == "__main__":
    main()

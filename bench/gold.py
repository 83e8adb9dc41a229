"""How often reward models agree with the gold taste of the embedded world, on pairs that are clear.

    upbring toyworld export world
    python bench/gold.py world runs/reward-1 runs/reward-2

A pair is clear if its gold rewards are more than one standard deviation of the annotators' noise
apart. Intervals are over rankings, for pairs of one ranking are not independent. `alone` are pairs
of answers that differ in one trait; `truth` and `manner` are clear pairs that differ in what is
true, or are equal in it; `all of` them are of every set, of truth those where a reward model can
know it: from the rankings, from the prompt, or because the question is whether to help. In records,
the first model is that of seed 0, the second that of seed 1, and so on.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from results import Figure, add_record_flag, record

from upbring.data.read.records import Message
from upbring.data.read.rows import Fields, read_rows
from upbring.judge.reward_model import ResponseGroup, RewardModel, load_reward_models
from upbring.maths.statistics import Estimate, ratio
from upbring.toyworld.annotators import NOISE

CLEAR = NOISE * math.pi / math.sqrt(6)  # the standard deviation of Gumbel noise
QUESTION = "toy world quality: reward model"
SETS = ("shown-entities", "evidence", "manners", "absent-entities")
UNKNOWABLE = ("sentence", "json", "bullets")  # among manners they ask about absent entities

Verdicts = Iterator[tuple[str, float]]  # the kind of a pair, and 1 if it is ordered correctly


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("world", type=Path)
    reading.add_argument("models", nargs="+")
    add_record_flag(reading)
    asked = reading.parse_args()
    figures: list[Figure] = []
    for seed, name in enumerate(asked.models):
        print(name)
        for kind, share in agreement(asked.world / "evaluation", _model(name)).items():
            text = f"{share.value:6.1%} ({share.low:.1%} … {share.high:.1%})"
            print(f"  {kind:<28} {text} of {share.count} rankings")
            metric = f"{metric_name(kind)}, seed {seed}"
            figures.append(Figure.estimated(QUESTION, metric, share, "%"))
    if asked.record:
        record(figures)


def metric_name(kind: str) -> str:
    """Return a kind of pair as records name it.

    >>> metric_name("all of manner"), metric_name("alone polite"), metric_name("manners")
    ('all clear pairs, manner', 'polite alone', 'manners, all clear pairs')
    """
    if kind.startswith("all of "):
        return f"all clear pairs, {kind[7:]}{' where it can be known' * kind.endswith('truth')}"
    if kind.startswith("alone "):
        return f"{kind[6:].replace('_', ' ')} alone"
    name, _, what = kind.partition(" ")
    titles = {"evidence": "with the evidence beside the question"}
    return f"{titles.get(name, name.replace('-', ' '))}, {what or 'all clear pairs'}"


def agreement(folder: Path, model: RewardModel) -> dict[str, Estimate]:
    """Return the share of pairs that the model orders as the gold reward does, of each kind."""
    files = [(name, folder / f"rankings-{name}.jsonl", _clear) for name in SETS]
    files.append(("alone", folder / "reward-pairs.jsonl", _alone))
    found: dict[str, list[list[float]]] = defaultdict(list)
    for name, path, pairs in files:
        for row, scores in _scored(path, model):
            kinds: dict[str, list[float]] = defaultdict(list)
            for kind, is_right in pairs(row, scores):
                kinds[f"{name} {kind}".strip()].append(is_right)
                if kind == "manner" or (kind == "truth" and _can_know(name, row)):
                    kinds[f"all of {kind}"].append(is_right)
            for kind, rights in kinds.items():
                found[kind].append(rights)
    return {kind: _share(rights) for kind, rights in found.items()}


def _can_know(name: str, fields: Fields) -> bool:
    """Return whether a reward model can know what is true: facts of absent entities it cannot."""
    return name != "absent-entities" and fields["task"]["kind"] not in UNKNOWABLE


def _share(rights: list[list[float]]) -> Estimate:
    right, total = (
        np.array([sum(each) for each in rights]),
        np.array([float(len(t)) for t in rights]),
    )
    return ratio(right, total)


def _scored(path: Path, model: RewardModel) -> Iterator[tuple[Fields, list[float]]]:
    asked = [row.fields for row in read_rows(path)]
    questions = [ResponseGroup(_messages(f["prompt"]), _responses(f)) for f in asked]
    for fields, scores in zip(asked, model.scores(questions), strict=True):
        yield fields, scores.tolist()


def _clear(fields: Fields, scores: list[float]) -> Verdicts:
    """Yield the clear pairs of a ranking."""
    rewards, causes = fields["rewards"], fields["causes"]
    for i, j in combinations(range(len(scores)), 2):
        if abs(rewards[i] - rewards[j]) <= CLEAR:
            continue
        is_right = _is_correct(scores[i], scores[j], is_first=rewards[i] > rewards[j])
        truth = causes[i]["correct"] - causes[j]["correct"]
        yield "", is_right
        yield ("manner" if truth == 0 else "truth"), is_right


def _alone(fields: Fields, scores: list[float]) -> Verdicts:
    """Yield a pair of answers that differ in one cause."""
    yield fields["cause"], _is_correct(scores[0], scores[1], is_first=True)


def _is_correct(one: float, other: float, *, is_first: bool) -> float:
    return 0.5 if one == other else float((one > other) == is_first)


def _responses(fields: Fields) -> tuple[str, ...]:
    if "responses" in fields:
        return tuple(fields["responses"])
    return tuple(fields[name][-1]["content"] for name in ("chosen", "rejected"))


def _messages(prompt: list[dict[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(each["role"], each["content"]) for each in prompt)


def _model(name: str) -> RewardModel:
    device = torch.device("cpu")
    (found,) = load_reward_models([name], device=device, compute_dtype=torch.float32, log=print)
    return found


if __name__ == "__main__":
    main()

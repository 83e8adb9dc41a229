"""How many labels active selection needs to reach the accuracy of N random ones, on the toy world.

Each item is a pair of responses, labeled by one simulated annotator. The reward models are linear
heads on the last and the mean hidden state of a frozen base; an ensemble has five heads, each
trained on a resample of the labels. Every method starts with the same random labels, trains,
chooses the next labels by its scores, and so on. Accuracy is the agreement with the gold reward on
clear pairs of held-out prompts. The labels needed are interpolated between the sizes.

    python bench/active_labels.py --seeds 0 1 2 --record
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import pi, sqrt

import numpy as np
import numpy.typing as npt
import torch
from results import Figure, add_record_flag, record
from scipy.optimize import minimize
from scipy.special import expit

from upbring.data.chat.chat import make_chat
from upbring.data.read.records import Message
from upbring.data.trees.batch import Batch, make_batch
from upbring.feedback.select_items import Selection, item_priorities
from upbring.maths.random_draws import RandomStream
from upbring.model.load import LoadedModel, load
from upbring.model.network import hidden_states
from upbring.model.packing import group_micro_batches
from upbring.toyworld.annotators import NOISE, annotators, task_with_candidates
from upbring.toyworld.eval_rankings import gold_ranking_sets
from upbring.toyworld.world import load_world

QUESTION = "labels needed: active selection"
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of N; the first labels are random
CLEAR = NOISE * pi / sqrt(6)  # a standard deviation of the annotators' noise
METHODS: tuple[Selection, ...] = ("random", "gap", "uncertain")
SETS = ("rankings-shown-entities", "rankings-evidence", "rankings-manners")
RANKINGS_PER_SET = 60
NUM_HEADS = 5
WEIGHT_DECAY = 1.0  # on standardized features, as a sum over the labels
MAX_BATCH_TOKENS = 8192
NOT_REACHED = 1.2  # N, where a curve ends below the goal
GOAL = 0.6
MODEL = "linear heads on builtin:sprout"

Features = npt.NDArray[np.float64]
Dialogue = tuple[Message, ...]


@dataclass(frozen=True)
class Pool:
    """The features of unlabeled pairs, with what an annotator says; and the held-out pairs."""

    features: Features  # [P, 2, D]
    better: npt.NDArray[np.int64]  # [P] 0 or 1
    test: Features  # [T, D] of the better response minus that of the worse one, by gold reward


def make_pool(loaded: LoadedModel, *, seed: int, size: int) -> Pool:
    """Return pairs of different responses to `size` prompts, and clear pairs of other prompts."""
    world, people = load_world(), annotators(seed=seed)
    pairs: list[tuple[Dialogue, tuple[str, ...]]] = []
    better = []
    for index in range(size):
        task, responses = task_with_candidates(world, seed=seed, index=index)
        pair = tuple(RandomStream(seed, "pair", index).shuffled(responses)[:2])
        ranks = people[index % len(people)].rank(task, pair, index=index)
        pairs.append((task.prompt, pair))
        better.append(ranks.index(1))
    sets = gold_ranking_sets(world, seed=seed, num_ranked=size)
    tests = [each for name in SETS for each in sets[name][:RANKINGS_PER_SET]]
    found = last_states(loaded, [*pairs, *((t.task.prompt, t.responses) for t in tests)])
    pool = np.stack(found[:size])
    differences = []
    for each, features in zip(tests, found[size:], strict=True):
        for i, j in combinations(range(len(features)), 2):
            gap = each.grades[i].reward - each.grades[j].reward
            if abs(gap) > CLEAR:
                differences.append(np.sign(gap) * (features[i] - features[j]))
    scale = (pool[:, 0] - pool[:, 1]).std(0)
    return Pool(pool / scale, np.asarray(better), np.stack(differences) / scale)


@torch.no_grad()
def last_states(
    loaded: LoadedModel, rows: Sequence[tuple[Dialogue, tuple[str, ...]]]
) -> list[Features]:
    """Return the hidden states of each response `[K, 2D]` of each row: the last one, the mean."""
    assert loaded.tokenizer is not None, "the bundled model has one"
    chat = make_chat(loaded.tokenizer)
    trees = list(chat.encode_comparisons((*row, str(i)) for i, row in enumerate(rows)))
    states: dict[int, Features] = {}
    for group in group_micro_batches(loaded.model, trees, MAX_BATCH_TOKENS):
        batch = make_batch([trees[i] for i in group])
        hidden = hidden_states(loaded.model, batch)  # [T, D]
        means = torch.stack([hidden[span].mean(0) for span in response_spans(batch)])
        every = torch.cat([hidden[batch.last_index], means], dim=1).double().numpy()  # [N, 2D]
        sizes = [len(trees[i].branches) for i in group]
        states |= zip(group, np.split(every, np.cumsum(sizes)[:-1]), strict=True)
    return [states[i] for i in range(len(trees))]


def response_spans(batch: Batch) -> list[slice]:
    """Return where the tokens of each of the N branches are."""
    spans = []
    for tree in batch.spans:
        start = tree.start + tree.prompt_length
        for length in tree.branch_lengths:
            spans.append(slice(start, start + length))
            start += length
    return spans


def train_head(differences: Features) -> Features:
    """Return the head `[D]` that minimizes the Bradley-Terry loss of better − worse `[M, D]`."""

    def loss(head: Features) -> tuple[float, Features]:
        margins = differences @ head
        value = np.logaddexp(0, -margins).sum() + WEIGHT_DECAY * head @ head / 2
        return float(value), WEIGHT_DECAY * head - differences.T @ expit(-margins)

    start = np.zeros(differences.shape[1])
    head: Features = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return head


def train_ensemble(differences: Features, *, seed: int) -> list[Features]:
    """Return heads on resamples of the labels."""
    rng = np.random.default_rng(seed)
    count = len(differences)
    return [train_head(differences[rng.integers(0, count, count)]) for _ in range(NUM_HEADS)]


def learning_curve(pool: Pool, how: Selection, *, num_labels: int, seed: int) -> list[float]:
    """Return the accuracy at each share of `num_labels`."""
    sign = np.where(pool.better == 0, 1.0, -1.0)[:, None]
    differences = sign * (pool.features[:, 0] - pool.features[:, 1])
    order = RandomStream(seed, "order").shuffled(range(len(differences)))
    chosen: list[int] = []
    curve = []
    for share in SHARES:
        rest = [i for i in order if i not in set(chosen)]
        wanted = round(share * num_labels) - len(chosen)
        if chosen and how != "random":
            labeled = differences[chosen]
            heads = (
                train_ensemble(labeled, seed=seed) if how == "uncertain" else [train_head(labeled)]
            )
            scores = [np.stack([pool.features[i] @ head for head in heads]) for i in rest]
            priorities = item_priorities(how, [str(i) for i in rest], scores)
            rest = [rest[k] for k in np.argsort(-np.asarray(priorities), kind="stable")]
        chosen += rest[:wanted]
        curve.append(float((pool.test @ train_head(differences[chosen]) > 0).mean()))
    return curve


def labels_needed(curve: Sequence[float], goal: float) -> float:
    """Return the share of N at which a curve first reaches the goal.

    >>> labels_needed([0.5, 0.6, 0.7], 0.65)
    0.35
    """
    shares = SHARES[: len(curve)]
    for k in range(1, len(curve)):
        if curve[k] >= goal > curve[k - 1]:
            part = (goal - curve[k - 1]) / (curve[k] - curve[k - 1])
            return float(round(shares[k - 1] + part * (shares[k] - shares[k - 1]), 4))
    return SHARES[0] if curve[0] >= goal else NOT_REACHED


def figures(by_seed: Sequence[Mapping[str, Features]], *, num_labels: int) -> list[Figure]:
    """Return accuracies and labels needed: the mean of the seeds, the least and the most."""
    found = []
    for how in METHODS:
        accuracies = {
            f"accuracy on clear gold pairs, {how}, {share:g} N": [
                100 * float(each[how][k]) for each in by_seed
            ]
            for k, share in enumerate(SHARES)
            if share in {0.2, 0.6, 1.0}
        }
        needed = [labels_needed(each[how].tolist(), each["random"][-1]) for each in by_seed]
        metric = f"labels needed for the accuracy of N random ones, {how}"
        for name, values, unit in (
            *((name, values, "%") for name, values in accuracies.items()),
            (metric, needed, "N"),
        ):
            found.append(
                Figure(
                    question=QUESTION,
                    metric=name,
                    value=round(float(np.mean(values)), 3),
                    low=round(min(values), 3),
                    high=round(max(values), 3),
                    n=len(by_seed),
                    unit=unit,
                    model=MODEL,
                    note=f"N = {num_labels} pairs; goal {GOAL} N; {NOT_REACHED} N: not reached",
                )
            )
    return found


def main() -> None:
    """Measure all seeds, print the figures and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--orders", type=int, default=10, help="random orders a seed, averaged")
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--pool", type=int, default=1500)
    add_record_flag(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(
        "builtin:sprout",
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    by_seed = []
    for seed in given.seeds:
        pool = make_pool(loaded, seed=seed, size=given.pool)
        curves = {
            how: np.mean(
                [
                    learning_curve(pool, how, num_labels=given.labels, seed=1000 * seed + order)
                    for order in range(given.orders)
                ],
                axis=0,
            )
            for how in METHODS
        }
        by_seed.append(curves)
        for how, curve in curves.items():
            print(f"seed {seed} {how}: {' '.join(f'{a:.3f}' for a in curve)}", flush=True)
    found = figures(by_seed, num_labels=given.labels)
    for figure in found:
        print(f"{figure.metric}: {figure.value} {figure.unit} ({figure.low} to {figure.high})")
    if given.record:
        record(found)


if __name__ == "__main__":
    main()

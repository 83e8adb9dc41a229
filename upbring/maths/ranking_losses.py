"""Preference losses: Bradley–Terry over pairs, Plackett–Luce over whole rankings.

A ranking is given by the rank of each branch (1 is best, equal ranks are ties, NaN is unranked) and
by the index of its tree. Both orders of two tied branches are equally probable, so a tie pulls
their scores together and is never dropped. A soft label p is the probability that the better branch
of a pair is better; it is 1 for a plain pair and ½ for a tie.

Left out: the source of the scores (a reward head, or β log π/π_ref in DPO).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's usual short name
from torch import Tensor

from upbring.maths.segment_sums import segment_sum

MAX_TIED = 12  # tied branches of one rank; the loss sums over 2^n sets of them


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """M pairs of branches of the same ranking: the better and the worse one."""

    better: Tensor  # [M] int64, into N; the earlier branch of a tie
    worse: Tensor  # [M] int64, into N
    tree: Tensor  # [M] int64, the pair's tree
    is_tie: Tensor  # [M] bool
    probability: Tensor  # [M] that the better one is better
    row_weight: Tensor  # [M] of the pair's row

    @property
    def weight(self) -> Tensor:
        """The weight of each pair `[M]`: 1/C(K,2) times its row's weight.

        Every ranking without a weight has total weight 1.
        """
        if not len(self.tree):
            return torch.zeros(0, device=self.tree.device)
        return self.row_weight / torch.bincount(self.tree)[self.tree].float()

    def select(self, indices: Tensor) -> "Pairs":
        """Return the pairs at `indices` or where a mask is true."""
        return Pairs(
            self.better[indices],
            self.worse[indices],
            self.tree[indices],
            self.is_tie[indices],
            self.probability[indices],
            self.row_weight[indices],
        )


def all_pairs(
    rank: Tensor,
    tree: Tensor,
    *,
    probability: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> Pairs:
    """Return all C(K,2) pairs of each ranking, from the ranks `[N]` and trees `[N]` of branches.

    `probability` `[N]` and `row_weight` `[N]` are those of each branch's row; NaN is unknown.

    >>> pairs = all_pairs(torch.tensor([2.0, 1.0, 2.0]), torch.tensor([0, 0, 0]))
    >>> pairs.better.tolist(), pairs.worse.tolist(), pairs.is_tie.tolist()
    ([1, 0, 1], [0, 2, 2], [False, True, False])
    """
    is_ranked = ~rank.isnan()
    is_pair = (tree[:, None] == tree) & is_ranked[:, None] & is_ranked  # [N, N]
    first, second = is_pair.triu(1).nonzero(as_tuple=True)  # [M], [M]
    is_swapped = rank[first] > rank[second]  # [M]
    is_tie = rank[first] == rank[second]
    hard = torch.ones_like(rank[first]).masked_fill(is_tie, 0.5)  # [M]
    row_label = None if probability is None else probability[first]
    return Pairs(
        better=torch.where(is_swapped, second, first),
        worse=torch.where(is_swapped, first, second),
        tree=tree[first],
        is_tie=is_tie,
        probability=hard if row_label is None else torch.where(row_label.isnan(), hard, row_label),
        row_weight=torch.ones_like(hard) if row_weight is None else row_weight[first].nan_to_num(1),
    )


def smooth_labels(probability: Tensor, smoothing: float) -> Tensor:
    """Return the labels `[M]`, of which each is assumed to be wrong with probability ε.

    >>> smooth_labels(torch.tensor([1.0, 0.75, 0.5]), 0.25).tolist()
    [0.75, 0.625, 0.5]
    """
    # p (1 − ε) + (1 − p) ε
    return probability * (1 - smoothing) + (1 - probability) * smoothing


def bradley_terry(
    margins: Tensor,
    probability: Tensor,
    *,
    smoothing: float = 0.0,
    target_margins: Tensor | None = None,
) -> Tensor:
    """Return the loss `[M]` of pairs with score margins r_w − r_l `[M]` and soft labels `[M]`.

    `smoothing` is the assumed probability that a label is wrong. `target_margins` `[M]` is the
    required score difference of a certain pair; a soft label reduces it, to 0 for a tie.
    """
    # −log σ(r_w − r_l)                                 (Ouyang et al. 2022, equation 1, one pair)
    # −log σ(r_w − r_l − (2p − 1) m)             (Touvron et al. 2023, Llama 2, equation 2: p = 1)
    # −p log σ(h) − (1 − p) log σ(−h)               (Mitchell 2023, “cDPO”, equation 3: p = 1 − ε)
    p = probability.to(margins)
    h = margins if target_margins is None else margins - (2 * p - 1) * target_margins
    p = smooth_labels(p, smoothing)
    return -p * F.logsigmoid(h) - (1 - p) * F.logsigmoid(-h)


def geometric_bradley_terry(
    margins: Tensor, probability: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Return the loss `[M]` of pairs whose margins `[M]` are scaled by their soft labels `[M]`.

    A plain pair has the loss of `bradley_terry`; a tie has no gradient.
    """
    # −log σ( (2p̂ − 1) (r_w − r_l) )         (Furuta et al. 2024, arXiv 2409.06691, “GDPO”)
    return -F.logsigmoid((2 * smooth_labels(probability.to(margins), smoothing) - 1) * margins)


def pair_accuracy(margins: Tensor) -> Tensor:
    """Return the accuracy of each pair `[M]`: 1, 0, or ½ for equal scores.

    >>> pair_accuracy(torch.tensor([2.0, 0.0, -1.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return (margins > 0).float() + 0.5 * (margins == 0).float()


@dataclass(frozen=True, slots=True, eq=False)
class RankingChoices:
    """The S choices of P rankings; each choice selects one of the remaining branches."""

    candidate: Tensor  # [Q] int64, into N: the remaining branches
    choice: Tensor  # [Q] int64, into S
    target: Tensor  # [Q] float64: the probability that this candidate is selected
    weight: Tensor  # [S] float64: the share of the ranking's orders that include this choice
    ranking: Tensor  # [S] int64, into P
    tree: Tensor  # [P] int64, the ranking's tree
    row_weight: Tensor  # [P] float32, the ranking's weight


def ranking_choices(
    rank: Tensor,
    tree: Tensor,
    *,
    smoothing: float = 0.0,
    probability: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> RankingChoices:
    """Return the choices of all rankings, from the ranks `[N]` and trees `[N]` of branches.

    With probability `smoothing`, a choice is assumed to be any of the other branches. A soft label
    `probability` `[N]`, which only pairs have, replaces the certain choice of the better branch.
    """
    groups: dict[int, list[tuple[float, int]]] = {}
    for branch, (value, tree_id) in enumerate(zip(rank.tolist(), tree.tolist(), strict=True)):
        if not math.isnan(value):
            groups.setdefault(tree_id, []).append((value, branch))
    ranked_trees = sorted(tree_id for tree_id, group in groups.items() if len(group) > 1)
    choices = [
        (p, *choice)
        for p, tree_id in enumerate(ranked_trees)
        for choice in _enumerate_choices(groups[tree_id])
    ]
    errors = _choice_errors([first[0] for _, first, *_ in choices], probability, smoothing)
    targets = [
        _choice_targets(len(first), len(rest), error)
        for (_, first, rest, _), error in zip(choices, errors, strict=True)
    ]
    members = [[*first, *rest] for _, first, rest, _ in choices]
    sizes = torch.tensor([len(branches) for branches in members], dtype=torch.int64)
    device = rank.device

    def flatten(parts: list[list[int]] | list[list[float]], dtype: torch.dtype) -> Tensor:
        return torch.tensor([x for part in parts for x in part], dtype=dtype, device=device)

    return RankingChoices(
        candidate=flatten(members, torch.int64),
        choice=torch.arange(len(choices)).repeat_interleave(sizes).to(device),
        target=flatten(targets, torch.float64),
        weight=flatten([[weight] for *_, weight in choices], torch.float64),
        ranking=flatten([[p] for p, *_ in choices], torch.int64),
        tree=flatten([[tree_id] for tree_id in ranked_trees], torch.int64),
        row_weight=flatten(
            [[_row_weight(groups[tree_id][0][1], row_weight)] for tree_id in ranked_trees],
            torch.float32,
        ),
    )


def _choice_errors(
    branches: list[int], probability: Tensor | None, smoothing: float
) -> list[float]:
    """Return the probability that each choice of one of these branches is wrong."""
    labels = torch.ones(len(branches), dtype=torch.float64)
    if probability is not None:
        labels = probability.cpu().double()[branches].nan_to_num(1.0)
    errors: list[float] = (1 - smooth_labels(labels, smoothing)).tolist()
    return errors


def _row_weight(branch: int, row_weight: Tensor | None) -> float:
    return 1.0 if row_weight is None else float(row_weight[branch].nan_to_num(1.0))


def _enumerate_choices(
    group: list[tuple[float, int]],
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    """Yield the branches that can be selected, the worse ones, and the share of all orders.

    All g! orders of g tied branches are equally probable. With s of them remaining, these are any
    of the C(g,s) sets of size s.
    """
    for tied_rank in sorted({value for value, _ in group}):
        tied = [branch for other_rank, branch in group if other_rank == tied_rank]
        rest = tuple(branch for other_rank, branch in group if other_rank > tied_rank)
        assert len(tied) <= MAX_TIED, (
            f"{len(tied)} branches share a rank; the maximum is {MAX_TIED}"
        )
        for s in range(1, len(tied) + 1):
            if s + len(rest) > 1:  # the last remaining branch is no choice
                for first in itertools.combinations(tied, s):
                    yield first, rest, 1 / math.comb(len(tied), s)


def _choice_targets(num_first: int, num_rest: int, smoothing: float) -> list[float]:
    """Return each branch's probability: of the tied first ones, and of the rest by smoothing.

    >>> _choice_targets(1, 2, 0.2), _choice_targets(2, 0, 0.2)
    ([0.8, 0.1, 0.1], [0.5, 0.5])
    """
    rest_target = smoothing / (num_first + num_rest - 1)
    first_target = (1 - smoothing) / num_first + rest_target * (num_first - 1) / num_first
    return [first_target] * num_first + [rest_target] * num_rest


def plackett_luce(scores: Tensor, choices: RankingChoices) -> Tensor:
    """Return the loss `[P]` of each ranking under the scores `[N]` of all branches.

    At equal scores the loss is log K!. With ties it is the mean over all compatible orders.
    """
    # −log P(τ) = −Σ_k log ( exp r_τ(k) / Σ_{j ≥ k} exp r_τ(j) )  (Luce 1959; Plackett 1975)
    S, P = len(choices.weight), len(choices.tree)
    r = scores[choices.candidate]  # [Q]
    highest = (
        r.detach()
        .new_zeros(S)
        .scatter_reduce(0, choices.choice, r.detach(), "amax", include_self=False)
    )  # [S]
    log_normalizer = (
        highest + segment_sum((r - highest[choices.choice]).exp(), choices.choice, S).log()
    )  # [S]
    chosen_score = segment_sum(choices.target.to(r) * r, choices.choice, S)  # [S]
    return segment_sum(choices.weight.to(r) * (log_normalizer - chosen_score), choices.ranking, P)

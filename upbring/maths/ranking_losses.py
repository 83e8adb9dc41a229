"""Preference losses: Bradley–Terry over pairs, Plackett–Luce over whole rankings.

A ranking is given by the rank of each branch (1 is best, equal ranks are ties, NaN is unranked) and
by the index of its tree. Both orders of two tied branches are equally probable, so a tie pulls
their scores together and is never dropped.

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

    @property
    def weight(self) -> Tensor:
        """The weight of each pair `[M]`: 1/C(K,2), so that every ranking has total weight 1."""
        if not len(self.tree):
            return torch.zeros(0, device=self.tree.device)
        return 1 / torch.bincount(self.tree)[self.tree].float()


def all_pairs(rank: Tensor, tree: Tensor) -> Pairs:
    """Return all C(K,2) pairs of each ranking, from the ranks `[N]` and trees `[N]` of branches.

    >>> pairs = all_pairs(torch.tensor([2.0, 1.0, 2.0]), torch.tensor([0, 0, 0]))
    >>> pairs.better.tolist(), pairs.worse.tolist(), pairs.is_tie.tolist()
    ([1, 0, 1], [0, 2, 2], [False, True, False])
    """
    is_ranked = ~rank.isnan()
    is_pair = (tree[:, None] == tree) & is_ranked[:, None] & is_ranked  # [N, N]
    first, second = is_pair.triu(1).nonzero(as_tuple=True)  # [M], [M]
    is_swapped = rank[first] > rank[second]  # [M]
    return Pairs(
        better=torch.where(is_swapped, second, first),
        worse=torch.where(is_swapped, first, second),
        tree=tree[first],
        is_tie=rank[first] == rank[second],
    )


def bradley_terry(
    margins: Tensor, is_tie: Tensor, *, smoothing: float = 0.0, target_margins: Tensor | None = None
) -> Tensor:
    """Return the loss `[M]` of pairs with score margins r_w − r_l `[M]`.

    `smoothing` is the assumed probability that a label is wrong. `target_margins` `[M]` is the
    required score difference. A tie has no target margin; its label is wrong with probability ½.
    """
    # −log σ(r_w − r_l)                                 (Ouyang et al. 2022, equation 1, one pair)
    # −log σ(r_w − r_l − m)                             (Touvron et al. 2023, Llama 2, equation 2)
    # −(1 − ε) log σ(h) − ε log σ(−h)                                  (Mitchell 2023, “cDPO”)
    h = margins if target_margins is None else margins - target_margins.masked_fill(is_tie, 0.0)
    error_probability = torch.full_like(h, smoothing).masked_fill(is_tie, 0.5)
    return -(1 - error_probability) * F.logsigmoid(h) - error_probability * F.logsigmoid(-h)


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


def ranking_choices(rank: Tensor, tree: Tensor, *, smoothing: float = 0.0) -> RankingChoices:
    """Return the choices of all rankings, from the ranks `[N]` and trees `[N]` of branches.

    With probability `smoothing`, a choice is assumed to be any of the other branches.
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
    targets = [_choice_targets(len(first), len(rest), smoothing) for _, first, rest, _ in choices]
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
    )


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

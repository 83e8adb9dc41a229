"""What people prefer as a loss: Bradley–Terry over pairs, Plackett–Luce over whole rankings.

A ranking is given by the rank of each branch (1 is best, equal ranks are ties, NaN is unranked) and
by whose ranking it is. Ties are told by nobody's rule but probability's: the order of two tied
branches is either one, by half, so that a tie pulls their scores together and is never dropped.

Left out: where the scores come from. A reward's are a head's, DPO's are β log π/π_ref.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor

from upbring.maths.segments import segment_sum

MAX_TIED = 12  # branches of one rank: their orders are summed over 2^n sets


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """M pairs of branches of the same ranking: the preferred one and the other."""

    better: Tensor  # [M] int64, into N; of a tie, the earlier
    worse: Tensor  # [M] int64, into N
    tree: Tensor  # [M] int64, whose pair it is
    is_tie: Tensor  # [M] bool

    @property
    def weight(self) -> Tensor:
        """What each pair weighs `[M]`: 1/C(K,2), so that every ranking weighs 1."""
        if not len(self.tree):
            return torch.zeros(0, device=self.tree.device)
        return 1 / torch.bincount(self.tree)[self.tree].float()


def all_pairs(rank: Tensor, tree: Tensor) -> Pairs:
    """Return all C(K,2) pairs of each ranking, of the ranks `[N]` and whose they are `[N]`.

    >>> found = all_pairs(torch.tensor([2.0, 1.0, 2.0]), torch.tensor([0, 0, 0]))
    >>> found.better.tolist(), found.worse.tolist(), found.is_tie.tolist()
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
    """Return the loss `[M]` of pairs scored `margins` = r_w − r_l `[M]` apart.

    A share `smoothing` of the labels is taken to be wrong, and `target_margins` `[M]` is by how much the
    preferred branch is to be scored higher; a tie wants nothing and is wrong by half.
    """
    # −log σ(r_w − r_l)                                 (Ouyang et al. 2022, equation 1, one pair)
    # −log σ(r_w − r_l − m)                             (Touvron et al. 2023, Llama 2, equation 2)
    # −(1 − ε) log σ(h) − ε log σ(−h)                                  (Mitchell 2023, “cDPO”)
    h = margins if target_margins is None else margins - target_margins.masked_fill(is_tie, 0.0)
    error_probability = torch.full_like(h, smoothing).masked_fill(is_tie, 0.5)
    return -(1 - error_probability) * F.logsigmoid(h) - error_probability * F.logsigmoid(-h)


def pair_accuracy(margins: Tensor) -> Tensor:
    """Return how right each pair is scored `[M]`: 1, 0, or ½ where both score the same.

    >>> pair_accuracy(torch.tensor([2.0, 0.0, -1.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return (margins > 0).float() + 0.5 * (margins == 0).float()


@dataclass(frozen=True, slots=True, eq=False)
class RankingChoices:
    """S choices that P rankings are made of: each takes one branch of those that are left."""

    candidate: Tensor  # [Q] int64, into N: the branches that are left
    choice: Tensor  # [Q] int64, into S
    target: Tensor  # [Q] float64: how probably each is the one that is taken
    weight: Tensor  # [S] float64: how much of the ranking's probability passes here
    ranking: Tensor  # [S] int64, into P
    tree: Tensor  # [P] int64, whose ranking it is


def ranking_choices(rank: Tensor, tree: Tensor, *, smoothing: float = 0.0) -> RankingChoices:
    """Return the stages of all rankings of ranks `[N]` and whose they are `[N]`.

    A share `smoothing` of the choices is taken to be any of the other branches.
    """
    groups: dict[int, list[tuple[float, int]]] = {}
    for branch, (value, tree_id) in enumerate(zip(rank.tolist(), tree.tolist(), strict=True)):
        if not math.isnan(value):
            groups.setdefault(tree_id, []).append((value, branch))
    ranked_trees = sorted(owner for owner, group in groups.items() if len(group) > 1)
    choices = [
        (p, *each)
        for p, owner in enumerate(ranked_trees)
        for each in _enumerate_choices(groups[owner])
    ]
    targets = [_choice_targets(len(first), len(rest), smoothing) for _, first, rest, _ in choices]
    members = [[*first, *rest] for _, first, rest, _ in choices]
    sizes = torch.tensor([len(each) for each in members], dtype=torch.int64)
    device = rank.device

    def flatten(parts: list[list[int]] | list[list[float]], dtype: torch.dtype) -> Tensor:
        return torch.tensor([x for part in parts for x in part], dtype=dtype, device=device)

    return RankingChoices(
        candidate=flatten(members, torch.int64),
        choice=torch.arange(len(choices)).repeat_interleave(sizes).to(device),
        target=flatten(targets, torch.float64),
        weight=flatten([[weight] for *_, weight in choices], torch.float64),
        ranking=flatten([[p] for p, *_ in choices], torch.int64),
        tree=flatten([[owner] for owner in ranked_trees], torch.int64),
    )


def _enumerate_choices(
    group: list[tuple[float, int]],
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    """Yield what may be taken, what is worse than that, and the stage's share of all orders.

    The order of g tied branches is any of g!, equally probable: with s of them left, these are any
    of the C(g,s) sets of s.
    """
    for tied_rank in sorted({value for value, _ in group}):
        tied = [branch for other_rank, branch in group if other_rank == tied_rank]
        rest = tuple(place for other, place in group if other > tied_rank)
        assert len(tied) <= MAX_TIED, f"{len(tied)} branches share a rank"
        for s in range(1, len(tied) + 1):
            if s + len(rest) > 1:  # the last one is taken for certain
                for first in itertools.combinations(tied, s):
                    yield first, rest, 1 / math.comb(len(tied), s)


def _choice_targets(num_first: int, num_rest: int, smoothing: float) -> list[float]:
    """Return how probably each branch is taken: of those that may be any, of the others by error.

    >>> _choice_targets(1, 2, 0.2), _choice_targets(2, 0, 0.2)
    ([0.8, 0.1, 0.1], [0.5, 0.5])
    """
    rest_target = smoothing / (num_first + num_rest - 1)
    first_target = (1 - smoothing) / num_first + rest_target * (num_first - 1) / num_first
    return [first_target] * num_first + [rest_target] * num_rest


def plackett_luce(scores: Tensor, choices: RankingChoices) -> Tensor:
    """Return the loss `[P]` of each ranking under the scores `[N]` of all branches.

    At equal scores it is log K!. With ties it is the mean over the orders that they leave open.
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

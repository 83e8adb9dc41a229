"""Preference losses compared with float64 references that enumerate pairs and orders."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.conftest import trials
from upbring.maths.ranking_losses import (
    all_pairs,
    bradley_terry,
    geometric_bradley_terry,
    pair_accuracy,
    plackett_luce,
    ranking_choices,
)

RANKINGS = st.lists(
    st.lists(st.tuples(st.integers(1, 3), st.floats(-4, 4)), min_size=1, max_size=5),
    min_size=1,
    max_size=3,
)
Rankings = list[list[tuple[int, float]]]


def ragged(rankings: Rankings) -> tuple[Tensor, Tensor, Tensor]:
    """Return ranks, trees and scores `[N]`."""
    rank = torch.tensor([float(k) for ranking in rankings for k, _ in ranking])
    tree = torch.tensor([t for t, ranking in enumerate(rankings) for _ in ranking])
    scores = [r for ranking in rankings for _, r in ranking]
    return rank, tree, torch.tensor(scores, dtype=torch.float64)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def naive_bradley_terry(ranking: list[tuple[int, float]], *, smoothing: float) -> float:
    """Return the mean over pairs of the expected −log probability of the label."""
    losses = []
    for (k, r), (other, s) in itertools.combinations(ranking, 2):
        wins = -log_sigmoid(r - s), -log_sigmoid(s - r)
        first = 0.5 if k == other else 1 - smoothing if k < other else smoothing
        losses.append(first * wins[0] + (1 - first) * wins[1])
    return sum(losses) / len(losses)


def naive_plackett_luce(ranking: list[tuple[int, float]]) -> float:
    """Return the mean −log probability of all orders that the ranks allow."""
    losses = []
    for order in itertools.permutations(ranking):
        if [k for k, _ in order] == sorted(k for k, _ in ranking):
            loss = 0.0
            for i, (_, r) in enumerate(order):
                loss -= r - math.log(sum(math.exp(s) for _, s in order[i:]))
            losses.append(loss)
    return sum(losses) / len(losses)


@given(RANKINGS, st.sampled_from([0.0, 0.1, 0.4]))
@settings(max_examples=trials(40, 2000))
def test_all_pairs_of_a_ranking_have_total_weight_1(rankings: Rankings, smoothing: float) -> None:
    rank, tree, scores = ragged(rankings)
    pairs = all_pairs(rank, tree)
    margins = scores[pairs.better] - scores[pairs.worse]
    loss = bradley_terry(margins, pairs.probability, smoothing=smoothing)
    for number, ranking in enumerate(rankings):
        own = pairs.tree == number
        if len(ranking) < 2:
            assert not own.any()
            continue
        assert float(pairs.weight[own].sum()) == pytest.approx(1, rel=1e-6)
        result = float((loss * pairs.weight.double())[own].sum())
        assert result == pytest.approx(naive_bradley_terry(ranking, smoothing=smoothing), rel=1e-6)


@given(RANKINGS)
@settings(max_examples=trials(40, 2000))
def test_the_list_loss_is_the_mean_over_all_compatible_orders(rankings: Rankings) -> None:
    rank, tree, scores = ragged(rankings)
    choices = ranking_choices(rank, tree)
    expected = {n: naive_plackett_luce(each) for n, each in enumerate(rankings) if len(each) > 1}
    assert choices.tree.tolist() == sorted(expected)
    result = plackett_luce(scores, choices).tolist()
    assert result == pytest.approx([expected[n] for n in sorted(expected)], rel=1e-9, abs=1e-9)


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    st.sampled_from([0.0, 0.2]),
)
@settings(max_examples=trials(30, 500))
def test_both_losses_are_equal_for_two_branches(
    ranks: tuple[int, int], scores: tuple[float, float], smoothing: float
) -> None:
    rank, tree = torch.tensor([float(k) for k in ranks]), torch.zeros(2, dtype=torch.int64)
    r = torch.tensor(scores, dtype=torch.float64)
    pairs = all_pairs(rank, tree)
    margins = r[pairs.better] - r[pairs.worse]
    one = bradley_terry(margins, pairs.probability, smoothing=smoothing)
    other = plackett_luce(r, ranking_choices(rank, tree, smoothing=smoothing))
    assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_list_loss_and_gradient_equal_values_computed_by_hand() -> None:
    # r = (0, log 2, log 3), ranked in this order: P = 1/6 · 2/5, the loss is log 15. The gradient
    # of a choice is softmax minus one-hot: (1/6 − 1, 1/3, 1/2), then (2/5 − 1, 3/5).
    r = torch.tensor([0.0, math.log(2), math.log(3)], dtype=torch.float64, requires_grad=True)
    (loss,) = plackett_luce(
        r, ranking_choices(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3).long())
    )
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(math.log(15), rel=1e-12)
    assert r.grad is not None
    assert r.grad.tolist() == pytest.approx([-5 / 6, 1 / 3 - 3 / 5, 1 / 2 + 3 / 5], rel=1e-12)


def test_smoothing_distributes_over_all_other_branches() -> None:
    # r = (log 3, 0, 0): −0.8·log 3/5 − 0.2·log 1/5, then log 2 for any target.
    r = torch.tensor([math.log(3), 0.0, 0.0], dtype=torch.float64)
    choices = ranking_choices(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3).long(), smoothing=0.2)
    expected = -0.8 * math.log(0.6) - 0.2 * math.log(0.2) + math.log(2)
    assert float(plackett_luce(r, choices)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("K", [2, 3, 6])
def test_at_equal_scores_a_pair_loss_is_log_2_and_a_list_loss_log_k_factorial(K: int) -> None:
    rank, tree = torch.arange(1.0, K + 1), torch.zeros(K, dtype=torch.int64)
    pairs = all_pairs(rank, tree)
    assert len(pairs.better) == K * (K - 1) // 2
    loss = bradley_terry(torch.zeros(len(pairs.better)), pairs.probability)
    assert loss.tolist() == pytest.approx([math.log(2)] * len(loss), rel=1e-6)
    lists = plackett_luce(torch.zeros(K, dtype=torch.float64), ranking_choices(rank, tree))
    assert lists.tolist() == pytest.approx([math.log(math.factorial(K))])


def test_the_target_margin_is_subtracted_except_for_ties() -> None:
    # −log σ(3 − 2) = log(1 + 1/e); a tie at 3: (log(1 + e⁻³) + log(1 + e³)) / 2
    loss = bradley_terry(
        torch.tensor([3.0, 3.0]),
        torch.tensor([1.0, 0.5]),
        target_margins=torch.tensor([2.0, 2.0]),
    )
    tie = (math.log1p(math.exp(-3)) + math.log1p(math.exp(3))) / 2
    assert loss.tolist() == pytest.approx([math.log1p(math.exp(-1)), tie], rel=1e-6)


def test_the_smoothed_loss_is_minimal_at_the_log_odds_of_the_labels() -> None:
    margins = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    loss = bradley_terry(margins, torch.ones(2001, dtype=torch.float64), smoothing=0.2)
    assert float(margins[loss.argmin()]) == pytest.approx(math.log(0.8 / 0.2), abs=5e-3)


def test_unranked_branches_have_no_pairs_and_no_choices() -> None:
    rank = torch.tensor([1.0, math.nan, 2.0, math.nan, 1.0])
    tree = torch.tensor([0, 0, 0, 1, 1])
    pairs = all_pairs(rank, tree)
    assert (pairs.better.tolist(), pairs.worse.tolist()) == ([0], [2])
    assert ranking_choices(rank, tree).tree.tolist() == [0]
    none = all_pairs(torch.empty(0), torch.empty(0, dtype=torch.int64))
    assert none.weight.shape == (0,)
    empty = ranking_choices(torch.empty(0), torch.empty(0, dtype=torch.int64))
    assert plackett_luce(torch.empty(0), empty).shape == (0,)


def test_extreme_scores_do_not_overflow() -> None:
    r = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    loss = plackett_luce(r, ranking_choices(torch.tensor([2.0, 1.0, 1.0]), torch.zeros(3).long()))
    pair = bradley_terry(r[1:2] - r[:1], torch.ones(1))
    torch.autograd.backward((loss + pair).sum())
    assert torch.isfinite(loss).all()
    assert r.grad is not None
    assert torch.isfinite(r.grad).all()


def test_a_pair_with_equal_scores_is_half_correct() -> None:
    assert pair_accuracy(torch.tensor([1.0, 0.0, -2.0])).tolist() == [1.0, 0.5, 0.0]


SOFT_PAIRS = st.lists(
    st.tuples(st.floats(0.5, 1), st.floats(-30, 30), st.floats(0.1, 9)), min_size=1, max_size=4
)


@given(SOFT_PAIRS, st.sampled_from([0.0, 0.1, 0.4]))
@settings(max_examples=trials(40, 2000))
def test_soft_labels_have_the_cross_entropy_and_the_geometric_loss(
    rows: list[tuple[float, float, float]], smoothing: float
) -> None:
    p, h, _ = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    q = [(1 - smoothing) * each + smoothing * (1 - each) for each, *_ in rows]
    entropy = [
        -a * log_sigmoid(m) - (1 - a) * log_sigmoid(-m)
        for a, (_, m, _) in zip(q, rows, strict=True)
    ]
    scaled = [-log_sigmoid((2 * a - 1) * m) for a, (_, m, _) in zip(q, rows, strict=True)]
    assert bradley_terry(h, p, smoothing=smoothing).tolist() == pytest.approx(entropy, rel=1e-9)
    result = geometric_bradley_terry(h, p, smoothing=smoothing).tolist()
    assert result == pytest.approx(scaled, rel=1e-9)


@pytest.mark.parametrize("loss", [bradley_terry, geometric_bradley_terry])
def test_gradients_of_soft_labels_equal_finite_differences(loss: Callable[..., Tensor]) -> None:
    h = torch.tensor([-3.0, -0.2, 0.0, 0.7, 4.0], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.5, 0.6, 0.75, 0.9, 1.0], dtype=torch.float64)
    torch.autograd.backward(loss(h, p, smoothing=0.1).sum())
    assert h.grad is not None
    step = 1e-6
    for i in range(len(h)):
        shift = torch.zeros_like(p)
        shift[i] = step
        up, down = (loss(h.detach() + sign * shift, p, smoothing=0.1).sum() for sign in (1, -1))
        assert float(h.grad[i]) == pytest.approx(float(up - down) / (2 * step), abs=1e-9)


def test_a_certain_label_is_a_plain_pair_and_an_undecided_one_a_tie() -> None:
    h = torch.tensor([1.5, 1.5])
    certain = -log_sigmoid(1.5)
    tie = -(log_sigmoid(1.5) + log_sigmoid(-1.5)) / 2
    p = torch.tensor([1.0, 0.5])
    assert bradley_terry(h, p).tolist() == pytest.approx([certain, tie], rel=1e-6)
    expected = [certain, math.log(2)]
    assert geometric_bradley_terry(h, p).tolist() == pytest.approx(expected, rel=1e-6)


def test_a_soft_label_scales_the_target_margin() -> None:
    # p = 0.75, m = 2: h = 3 − 0.5 · 2
    loss = bradley_terry(
        torch.tensor([3.0], dtype=torch.float64),
        torch.tensor([0.75], dtype=torch.float64),
        target_margins=torch.tensor([2.0], dtype=torch.float64),
    )
    expected = -0.75 * log_sigmoid(2) - 0.25 * log_sigmoid(-2)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_probabilities_and_weights_of_rows_are_those_of_their_pairs() -> None:
    nan = math.nan
    rank = torch.tensor([2.0, 1.0, 1.0, 2.0, 3.0, 1.0, 1.0])
    tree = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    probability = torch.tensor([0.7, 0.7, nan, nan, nan, nan, nan])
    row_weight = torch.tensor([3.0, 3.0, nan, nan, nan, 6.0, 6.0])
    pairs = all_pairs(rank, tree, probability=probability, row_weight=row_weight)
    assert pairs.better.tolist() == [1, 2, 2, 3, 5]
    assert pairs.probability.tolist() == pytest.approx([0.7, 1, 1, 1, 0.5])
    assert pairs.weight.tolist() == pytest.approx([3, 1 / 3, 1 / 3, 1 / 3, 6])
    choices = ranking_choices(rank, tree, probability=probability, row_weight=row_weight)
    assert choices.row_weight.tolist() == [3, 1, 6]


@given(st.floats(0.5, 1), st.floats(-9, 9), st.sampled_from([0.0, 0.2]))
@settings(max_examples=trials(30, 500))
def test_a_list_of_two_has_the_loss_of_its_pair_with_soft_labels(
    probability: float, margin: float, smoothing: float
) -> None:
    rank, tree = torch.tensor([2.0, 1.0]), torch.zeros(2, dtype=torch.int64)
    r = torch.tensor([0.0, margin], dtype=torch.float64)
    p = torch.full((2,), probability, dtype=torch.float64)
    one = bradley_terry(r[1:] - r[:1], p[:1], smoothing=smoothing)
    other = plackett_luce(r, ranking_choices(rank, tree, smoothing=smoothing, probability=p))
    assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)

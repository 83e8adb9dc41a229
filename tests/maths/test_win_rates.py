import numpy as np
import pytest
from scipy import optimize

from upbring.maths import win_rates

# Agresti, Categorical Data Analysis (2nd ed.), table 10.10: the American League of 1987.
# Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore; row beat column.
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ],
    float,
)


def test_strengths_equal_the_published_ones() -> None:
    beta = win_rates.bradley_terry_strengths(BASEBALL, prior=0.0)
    expected = [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0]
    assert beta - beta[-1] == pytest.approx(expected, abs=0.006)
    assert beta.sum() == pytest.approx(0, abs=1e-9)


def test_the_strength_of_two_models_is_the_log_odds() -> None:
    # 30 wins, 10 losses, 20 ties: 40 against 20, log 2
    beta = win_rates.bradley_terry_strengths(np.array([[0, 40.0], [20.0, 0]]), prior=0.0)
    assert beta[0] - beta[1] == pytest.approx(np.log(2))


def test_strengths_equal_hunters_iteration() -> None:
    rng = np.random.default_rng(2)
    wins = rng.integers(1, 12, (4, 4)).astype(float)
    np.fill_diagonal(wins, 0)
    pi = np.ones(4)
    for _ in range(2000):  # Hunter (2004), eq. 3
        pi = wins.sum(1) / ((wins + wins.T) / (pi[:, None] + pi[None, :])).sum(1)
        pi /= np.exp(np.log(pi).mean())
    assert win_rates.bradley_terry_strengths(wins, prior=0.0) == pytest.approx(np.log(pi), abs=1e-8)


def test_the_prior_keeps_the_strength_of_an_undefeated_model_finite() -> None:
    beta = win_rates.bradley_terry_strengths(np.array([[0, 10.0, 10], [0, 0, 5], [0, 5, 0]]))
    # Against one opponent: log((10 + ¼)/¼); two opponents of equal strength give the same value.
    assert beta[0] - beta[1] == pytest.approx(np.log(41), abs=1e-6)
    assert beta[1] == pytest.approx(beta[2])


def test_equal_lengths_do_not_change_the_win_rate() -> None:
    wins = np.array([1.0] * 60 + [0.0] * 30 + [0.5] * 10)
    result = win_rates.length_controlled_win_rate(wins, np.full(100, 9.0), np.full(100, 9.0))
    assert result.value == pytest.approx(0.65, abs=1e-3)
    assert result.low < 0.65 < result.high


def naive_rate(wins: np.ndarray, gap: np.ndarray) -> float:
    """Return σ(θ) of the same regression, minimized without a derivative."""
    x = np.tanh(gap / gap.std())

    def loss(w: np.ndarray) -> float:
        z = w[0] + w[1] * x
        data = np.logaddexp(0, -z) * wins + np.logaddexp(0, z) * (1 - wins)
        return float(data.sum() + 0.005 * (w**2).sum())

    w = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9}).x
    return float(1 / (1 + np.exp(-w[0])))


def test_wins_by_length_alone_are_removed() -> None:
    rng = np.random.default_rng(0)
    baseline_lengths = np.full(400, 100.0)
    model_lengths = baseline_lengths + rng.normal(60, 50, 400)  # longer on average
    z = 2.5 * np.tanh((model_lengths - baseline_lengths) / 50)  # preferred only for length
    wins = (rng.random(400) < 1 / (1 + np.exp(-z))).astype(float)
    result = win_rates.length_controlled_win_rate(wins, model_lengths, baseline_lengths)
    assert wins.mean() > 0.75
    assert result.low < 0.5 < result.high
    assert result.value == pytest.approx(
        naive_rate(wins, model_lengths - baseline_lengths), abs=1e-5
    )


def test_a_model_that_always_wins_has_a_rate_near_1() -> None:
    lengths = np.random.default_rng(1).normal(50, 10, 80)
    result = win_rates.length_controlled_win_rate(np.ones(80), lengths, np.full(80, 50.0))
    assert result.value > 0.99
    assert result.high <= 1


def test_twenty_wins_of_twenty_have_an_honest_interval() -> None:
    equal = win_rates.length_controlled_win_rate(np.ones(20), np.full(20, 9.0), np.full(20, 9.0))
    assert (equal.low, equal.high) == (pytest.approx(0.8389, abs=1e-4), 1)  # as Wilson's
    lengths = np.random.default_rng(1).normal(50, 10, 20)
    found = win_rates.length_controlled_win_rate(np.ones(20), lengths, np.full(20, 50.0))
    assert 0.75 < found.low < 0.8389
    assert found.high == 1
    few = win_rates.length_controlled_win_rate(np.ones(19), np.ones(19), np.ones(19))
    assert few.too_few == 19


def test_ties_narrow_the_length_controlled_interval() -> None:
    equal = np.ones(60)
    tied = np.where(np.arange(60) % 3 == 0, 0.5, (np.arange(60) % 2).astype(float))
    found = win_rates.length_controlled_win_rate(tied, equal, equal)
    untied = win_rates.length_controlled_win_rate(np.repeat([0.0, 1.0], 30), equal, equal)
    assert found.value == pytest.approx(untied.value, abs=0.01)
    assert found.high - found.low == pytest.approx(
        (untied.high - untied.low) * np.sqrt(2 / 3), rel=0.03
    )


def test_the_interval_of_two_strengths_is_that_of_the_log_odds() -> None:
    wins = np.repeat([1.0, 0.0], [40, 20])[None, :]
    best, worst = win_rates.estimate_strengths([(0, 1)], wins, 2)
    # the log-odds of 40 to 20 have the standard deviation √(1/40 + 1/20); each strength is half
    half = 1.96 * np.sqrt(1 / 40 + 1 / 20) / 2
    assert best.value == pytest.approx(np.log(2) / 2, abs=0.01)
    assert (best.high - best.value) == pytest.approx(half, rel=0.02)
    assert worst.low == pytest.approx(-best.high)
    assert best.count == 60


def test_an_undefeated_model_has_a_wide_strength() -> None:
    best, _ = win_rates.estimate_strengths([(0, 1)], np.ones((1, 30)), 2)
    assert best.high - best.low > 3  # all resamples of 30 wins would be equal
    few, _ = win_rates.estimate_strengths([(0, 1)], np.ones((1, 10)), 2)
    assert few.too_few == 10


def test_pairs_of_one_prompt_are_not_independent() -> None:
    # Three models, of which each prompt prefers the same order; many prompts or few repeated.
    rng = np.random.default_rng(0)
    quality = rng.normal(0, 1, (3, 40)) + np.array([[0.5], [0.0], [-0.5]])
    pairs = [(0, 1), (0, 2), (1, 2)]
    wins = np.stack([(quality[a] > quality[b]).astype(float) for a, b in pairs])
    wins[2, :5] = np.nan  # not judged
    for found in win_rates.estimate_strengths(pairs, wins, 3):
        assert found.low < found.value < found.high
        assert found.count == 40

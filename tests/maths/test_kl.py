"""KL estimators on two known distributions, and the controller computed by hand."""

import pytest
import torch

from upbring.maths.kl import KL_ESTIMATORS, adapt_kl_weight, k1, k3

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
TRUE = float((P * (P / Q).log()).sum())  # Σ p log p/q


@pytest.mark.parametrize("estimator", [k1, k3])
def test_the_mean_of_k1_and_of_k3_is_the_kl_divergence(estimator: object) -> None:
    assert callable(estimator)
    assert float((P * estimator(P.log(), Q.log())).sum()) == pytest.approx(TRUE, rel=1e-12)


def test_k2_is_half_the_square_and_accurate_for_similar_distributions() -> None:
    result = float((P * KL_ESTIMATORS["k2"](P.log(), Q.log())).sum())
    by_hand = (0.5 * 0.22314355**2 + 0.3 * 0.28768207**2) / 2  # log 5/4 and log 3/4
    assert result == pytest.approx(by_hand, rel=1e-6)
    assert result == pytest.approx(TRUE, rel=0.05)


@pytest.mark.parametrize("name", ["k2", "k3"])
def test_k2_and_k3_are_never_negative_and_all_are_zero_at_the_start(name: str) -> None:
    logs = torch.linspace(-5, -0.1, 40)
    assert bool((KL_ESTIMATORS[name](logs[:, None], logs[None]) >= 0).all())
    assert all(not estimator(logs, logs).any() for estimator in KL_ESTIMATORS.values())


def test_k3_is_accurate_for_nearly_equal_distributions() -> None:
    result = k3(torch.zeros(1), torch.tensor([1e-3]))
    assert float(result) == pytest.approx(5.0016671e-07, rel=1e-3)  # eˣ − 1 − x at x = 10⁻³


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (6.0, 1.0),  # on target
        (6.6, 1 + 0.1 * 64 / 10_000),  # 10 % above
        (60.0, 1 + 0.2 * 64 / 10_000),  # far above: clipped
        (0.0, 1 - 0.2 * 64 / 10_000),
    ],
)
def test_the_kl_coefficient_follows_the_clipped_relative_error(kl: float, factor: float) -> None:
    result = adapt_kl_weight(0.05, kl, target=6.0, num_responses=64, horizon=10_000)
    assert result == pytest.approx(0.05 * factor, rel=1e-12)

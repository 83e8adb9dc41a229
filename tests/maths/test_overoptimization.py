"""Both forms on synthetic points: the fit recovers the parameters and each peak is the maximum."""

import numpy as np
import pytest

from upbring.maths.overoptimization import (
    FittedCurve,
    fit_curve,
    rl_peak,
    rl_reward,
)

KL = np.linspace(0.2, 60, 40)


def test_a_fit_recovers_the_parameters() -> None:
    curve = fit_curve(rl_reward, KL, rl_reward(np.sqrt(KL), 1.2, 0.3))
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=1e-6)
    assert curve.r_squared == pytest.approx(1)


def test_noise_changes_the_parameters_slightly() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, KL.size)
    curve = fit_curve(rl_reward, KL, rl_reward(np.sqrt(KL), 1.2, 0.3) + noise)
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=0.1)
    assert 0.8 < curve.r_squared < 1


def test_the_peak_is_the_maximum_of_the_curve() -> None:
    d = np.linspace(0.01, 20, 20_000)
    highest = d[rl_reward(d, 1.2, 0.4).argmax()]
    assert rl_peak(FittedCurve(1.2, 0.4, 1)) == pytest.approx(highest, abs=2e-3)
    assert rl_peak(FittedCurve(1.2, -0.1, 1)) is None  # the curve never falls


def test_the_gold_reward_starts_at_0() -> None:
    start = np.array([0.0])
    assert rl_reward(start, 1.2, 0.4) == 0


def test_too_few_points_give_no_curve() -> None:
    assert fit_curve(rl_reward, np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None
    assert fit_curve(rl_reward, np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None

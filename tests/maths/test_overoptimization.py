"""Both forms on synthetic points: the fit recovers the parameters and each peak is the maximum."""

import numpy as np
import pytest

from upbring.maths.overoptimization import (
    FittedCurve,
    best_of_n_peak,
    best_of_n_reward,
    fit_curve,
    rl_peak,
    rl_reward,
)

KL = np.linspace(0.2, 60, 40)


@pytest.mark.parametrize("form", [best_of_n_reward, rl_reward])
def test_a_fit_recovers_the_parameters(form: object) -> None:
    assert callable(form)
    curve = fit_curve(form, KL, form(np.sqrt(KL), 1.2, 0.3))
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=1e-6)
    assert curve.r_squared == pytest.approx(1)


def test_noise_changes_the_parameters_slightly() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, KL.size)
    curve = fit_curve(rl_reward, KL, rl_reward(np.sqrt(KL), 1.2, 0.3) + noise)
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=0.1)
    assert 0.8 < curve.r_squared < 1


@pytest.mark.parametrize(
    ("form", "peak"), [(best_of_n_reward, best_of_n_peak), (rl_reward, rl_peak)]
)
def test_each_peak_is_the_maximum_of_its_form(form: object, peak: object) -> None:
    assert callable(form)
    assert callable(peak)
    d = np.linspace(0.01, 20, 20_000)
    highest = d[form(d, 1.2, 0.4).argmax()]
    assert peak(FittedCurve(1.2, 0.4, 1)) == pytest.approx(highest, abs=2e-3)
    assert peak(FittedCurve(1.2, -0.1, 1)) is None  # the curve never falls


def test_the_gold_reward_starts_at_0() -> None:
    start = np.array([0.0])
    assert best_of_n_reward(start, 1.2, 0.4) == rl_reward(start, 1.2, 0.4) == 0


def test_too_few_points_give_no_curve() -> None:
    assert fit_curve(rl_reward, np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None
    assert fit_curve(rl_reward, np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None

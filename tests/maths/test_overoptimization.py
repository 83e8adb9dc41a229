"""Both forms on points made by them: parameters come back, and each peak is where it is highest."""

import numpy as np
import pytest

from upbring.maths.overoptimization import (
    Curve,
    best_of_n,
    fitted,
    peak_of_best_of_n,
    peak_of_reinforced,
    reinforced,
)

KL = np.linspace(0.2, 60, 40)


@pytest.mark.parametrize("form", [best_of_n, reinforced])
def test_what_a_form_has_made_is_found_again(form: object) -> None:
    assert callable(form)
    curve = fitted(form, KL, form(np.sqrt(KL), 1.2, 0.3))
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=1e-6)
    assert curve.explained == pytest.approx(1)


def test_noise_moves_the_parameters_a_little() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, KL.size)
    curve = fitted(reinforced, KL, reinforced(np.sqrt(KL), 1.2, 0.3) + noise)
    assert curve is not None
    assert (curve.alpha, curve.beta) == pytest.approx((1.2, 0.3), rel=0.1)
    assert 0.8 < curve.explained < 1


@pytest.mark.parametrize(
    ("form", "peak"), [(best_of_n, peak_of_best_of_n), (reinforced, peak_of_reinforced)]
)
def test_each_peak_is_where_its_form_is_highest(form: object, peak: object) -> None:
    assert callable(form)
    assert callable(peak)
    d = np.linspace(0.01, 20, 20_000)
    highest = d[form(d, 1.2, 0.4).argmax()]
    assert peak(Curve(1.2, 0.4, 1)) == pytest.approx(highest, abs=2e-3)
    assert peak(Curve(1.2, -0.1, 1)) is None  # it never turns down


def test_the_true_reward_begins_at_nothing() -> None:
    start = np.array([0.0])
    assert best_of_n(start, 1.2, 0.4) == reinforced(start, 1.2, 0.4) == 0


def test_too_few_points_make_no_curve() -> None:
    assert fitted(reinforced, np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None
    assert fitted(reinforced, np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5])) is None

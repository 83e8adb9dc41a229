import math

import numpy as np
import pytest

from upbring.maths import calibration


def test_bins_contain_mean_confidence_and_accuracy() -> None:
    confidence = np.array([0.45, 0.5, 0.95, 1.0, 0.0])
    correctness = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    bins = calibration.reliability_bins(confidence, correctness)
    # (0.4, 0.5] contains 0.45 and 0.5; 0 is in the first bin, 1 in the last.
    assert [(round(b.low, 1), b.count) for b in bins] == [(0.0, 1), (0.4, 2), (0.9, 2)]
    assert (bins[1].confidence, bins[1].accuracy) == pytest.approx((0.475, 0.5))


def test_the_calibration_error_equals_a_value_computed_by_hand() -> None:
    confidence = np.array([0.55, 0.6, 0.95, 1.0])
    correctness = np.array([1.0, 0.0, 1.0, 1.0])
    # ½·|0.5 − 0.575| + ½·|1 − 0.975| = 0.05
    assert calibration.expected_calibration_error(confidence, correctness) == pytest.approx(0.05)
    assert math.isnan(calibration.expected_calibration_error(np.empty(0), np.empty(0)))


def test_true_probabilities_are_calibrated_with_temperature_1() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 20_000)
    is_upheld = rng.random(20_000) < 1 / (1 + np.exp(-margins))
    oriented = np.where(is_upheld, margins, -margins)  # chosen − rejected
    assert calibration.fit_temperature(oriented) == pytest.approx(1.0, abs=0.05)
    assert calibration.fit_temperature(3 * oriented) == pytest.approx(3.0, abs=0.15)
    confidence, correctness = calibration.confidence_and_correctness(oriented)
    assert calibration.expected_calibration_error(confidence, correctness) < 0.02
    confidence, correctness = calibration.confidence_and_correctness(3 * oriented)
    assert calibration.expected_calibration_error(confidence, correctness) > 0.1


def test_the_temperature_equals_the_best_of_a_grid() -> None:
    margins = np.random.default_rng(1).normal(0.7, 3.0, 300)
    grid = np.exp(np.linspace(-3, 5, 4001))
    losses = [float(np.log1p(np.exp(-margins / t)).mean()) for t in grid]
    assert calibration.fit_temperature(margins) == pytest.approx(grid[np.argmin(losses)], rel=3e-3)


def test_without_a_finite_minimum_the_temperature_is_a_bound() -> None:
    assert calibration.fit_temperature(np.ones(5)) == calibration.MIN_TEMPERATURE
    assert calibration.fit_temperature(-np.ones(5)) == calibration.MAX_TEMPERATURE
    assert math.isnan(calibration.fit_temperature(np.zeros(3)))


def test_equal_scores_are_half_correct() -> None:
    confidence, correctness = calibration.confidence_and_correctness(np.array([0.0, 2.0, -2.0]))
    assert correctness.tolist() == [0.5, 1.0, 0.0]
    assert confidence == pytest.approx([0.5, 0.880797, 0.880797])

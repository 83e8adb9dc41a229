import itertools
import math

import numpy as np
import pytest

from upbring.maths import agreement

# Krippendorff, Computing Krippendorff's alpha-reliability (2011), section C: 4 observers, 12 units
A = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
B = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
C = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
D = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
UNITS = list(zip(A, B, C, D, strict=True))


def test_kappa_equals_the_textbook_value() -> None:
    # 50 proposals, two raters: 20 both yes, 15 both no, 5 and 10 split: κ = (0.7 − 0.5)/0.5
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert agreement.cohen_kappa(first, second) == pytest.approx(0.4)


def test_kappa_is_nan_if_chance_agreement_is_1() -> None:
    assert math.isnan(agreement.cohen_kappa(["a", "a"], ["a", "a"]))
    assert math.isnan(agreement.cohen_kappa([], []))


def test_alpha_equals_the_published_value() -> None:
    assert agreement.krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert agreement.krippendorff_alpha(UNITS, level="ordinal") == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_1_for_perfect_agreement_and_nan_for_a_single_value() -> None:
    assert agreement.krippendorff_alpha([[1, 1], [2, 2], [3, 3]], level="ordinal") == 1
    assert math.isnan(agreement.krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(agreement.krippendorff_alpha([[1, None], [2]]))


def test_concordant_pairs_are_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.integers(0, 4, 6).astype(float), rng.integers(0, 4, 6).astype(float)
        right, count = 0.0, 0
        for i, j in itertools.combinations(range(6), 2):
            if y[i] == y[j]:
                continue
            count += 1
            right += 0.5 if x[i] == x[j] else float((x[i] < x[j]) == (y[i] < y[j]))
        assert agreement.count_concordant_pairs(x, y) == (right, count)

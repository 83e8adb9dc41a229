"""The healthy ranges of metrics, one table for terminal, verdict and report."""

from collections.abc import Mapping

import pytest

from upbring.train.healthy_ranges import PREFERENCE_RANGES, RL_RANGES, healthy_range
from upbring.train.progress import Band


@pytest.mark.parametrize("ranges", [RL_RANGES, PREFERENCE_RANGES])
def test_each_range_has_a_bound_and_advice(ranges: Mapping[str, Band]) -> None:
    for band in ranges.values():
        assert band.low is not None or band.high is not None
        assert band.advice.endswith(".")


def test_a_range_depends_on_what_the_method_learns_from() -> None:
    assert healthy_range("accuracy", "comparisons") is PREFERENCE_RANGES["accuracy"]
    assert healthy_range("accuracy", "demonstrations") is None
    assert healthy_range("kl", "prompts") is not healthy_range("kl", "labels")
    assert healthy_range("ended", None) is None

from html.parser import HTMLParser

import pytest

from upbring.report import plots
from upbring.report.curves import OveroptimizationCurve, Panel
from upbring.report.findings import Findings
from upbring.report.scorecard import ScorecardRow
from upbring.runs.results import EvalResult
from upbring.train.progress import Band


def row(before: float, after: float, *, better: bool, unit: str = "share") -> ScorecardRow:
    first, last = (
        EvalResult("forgetting", model, "accuracy", value, unit=unit, is_higher_better=better)
        for model, value in (("a", before), ("b", after))
    )
    return ScorecardRow(
        "forgetting", "x", unit, better, {"a": first, "b": last}, first, last, None, "worse"
    )


def test_long_lines_are_downsampled_by_means() -> None:
    points = [(step, float(step % 2)) for step in range(10_000)]
    found = plots.downsample(points)
    assert len(found) == plots.MAX_POINTS
    assert all(0.4 < value < 0.6 for _, value in found)
    assert plots.downsample(points[:3]) == [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]


def test_smoothing_keeps_a_straight_line_straight() -> None:
    points = [(float(x), 3.0 * x + 1) for x in range(100)]
    for (_, value), (_, smooth) in zip(points, plots.moving_average(points), strict=True):
        assert smooth == pytest.approx(value)


def test_a_change_is_positive_where_it_is_better() -> None:
    assert plots.change_of(row(0.5, 0.4, better=True))[0] == pytest.approx(-10)  # points
    assert plots.change_of(row(0.1, 0.05, better=False))[0] == pytest.approx(5)
    # perplexity from 8 to 10 is 25 percent worse
    worse = row(8.0, 10.0, better=False, unit="perplexity")
    assert plots.change_of(worse) == (pytest.approx(-25), None, None)


def test_bounds_of_a_change_are_in_order(findings: Findings) -> None:
    for each in findings.alignment_tax:
        value, low, high = plots.change_of(each)
        assert low is not None
        assert high is not None
        assert low <= value <= high


@pytest.mark.parametrize(
    "band", [None, Band(None, 1.0, ""), Band(0.5, None, ""), Band(90.0, 100.0, ""), Band(0, 1, "")]
)
def test_a_panel_describes_its_curve(band: Band | None) -> None:
    trained = tuple((step, 1 / step) for step in range(1, 60))
    text = str(plots.panel(Panel("nll", trained, ((1, 2.0),), band), name="p", stage="sft"))
    assert '<title id="p-title">sft: negative log-likelihood went from 2 to 2' in text
    assert ("healthy range" in text) == (band is not None)


def test_constant_and_single_values_can_be_drawn() -> None:
    flat = Panel("ended", ((1, 1.0),), (), Band(0.9, None, "x"))
    assert "<svg" in plots.panel(flat, name="p", stage="x")
    same = plots.distributions({"m": [2.0, 2.0]}, {"m": "c1"}, name="d", title="t")
    assert ">m: mean 2</text>" in same
    still = OveroptimizationCurve("ppo", (0.0, 0.0), (1.0, 1.0), (), None, None)
    assert "judge" not in plots.overoptimization(still, name="q", title="t")


def test_a_result_without_a_value_has_no_marker() -> None:
    empty = EvalResult("facts", "m", "accuracy", None, note="no rows")
    text = plots.dots([("right", {"m": empty})], {"m": "c1"}, name="d", title="t")
    assert ">right</text>" in text


def test_every_plot_is_well_formed(findings: Findings) -> None:
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            del attrs
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            del tag, attrs

    balance = Balance()
    balance.feed(plots.changes(findings.alignment_tax, name="tax", title="<t>"))
    balance.feed(plots.overoptimization(findings.overoptimization[0], name="p", title="t"))
    assert balance.open == []

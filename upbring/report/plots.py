"""The plots of the report, one function each; each returns an SVG element.

Every plot has its content as alternative text, and models differ by marker as well as by color.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from upbring.report import texts
from upbring.report.curves import OveroptimizationCurve, Panel
from upbring.report.scorecard import ScorecardRow
from upbring.report.svg import COLORS, MARKERS, figure, svg
from upbring.runs.results import EvalResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[float, float]]

FULL_WIDTH, PANEL_WIDTH = 7.2, 2.75  # inches
MIN_PLAIN_TICK = 1e-2  # smaller numbers on an axis have an exponent
MAX_POINTS = 300  # per line; a panel has fewer pixels than this
NUM_BINS = 40
SMOOTH_ABOVE = 30  # a line with more points also gets a moving average
ROW_HEIGHT, AXIS_HEIGHT = 0.3, 0.55
MAX_LABEL_LENGTH = 48


@lru_cache(maxsize=256)  # a live page redraws only panels with new points
def panel(curve: Panel, *, name: str, stage: str) -> Markup:
    """Return one training curve: training values, held-out values and the healthy range."""
    heading = texts.title(curve.name, texts.METRIC_TITLES)
    with figure(PANEL_WIDTH, 1.9, is_small=True) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="y")
        train, held_out = downsample(curve.train), curve.held_out
        if curve.train:
            is_many = len(train) > SMOOTH_ABOVE
            _line(axes, train, "c1", width=0.8 if is_many else 1.4, alpha=0.45 if is_many else 1)
            if is_many:
                _line(axes, moving_average(train), "c1", width=1.6)
        if held_out:
            _line(axes, held_out, "c2", width=1.4, marker="o" if len(held_out) < MAX_POINTS else "")
        _shade_band(axes, curve)
        axes.set_title(heading, loc="left", color=COLORS["ink"])
        axes.margins(x=0.02)
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.locator_params(axis="y", nbins=5)
        axes.yaxis.set_major_formatter(lambda value, _: format_tick(value))
        return svg(fig, name=name, title=_describe_curve(curve, heading, stage))


def format_tick(value: float) -> str:
    """Return a number that fits next to a small plot.

    >>> format_tick(0.25), format_tick(0.00015), format_tick(0.0)
    ('0.25', '1.5e-4', '0')
    """
    if value == 0 or abs(value) >= MIN_PLAIN_TICK:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _describe_curve(curve: Panel, heading: str, stage: str) -> str:
    first = (curve.held_out or curve.train)[0][1]
    change = f"from {texts.format_number(first)} to {texts.format_number(curve.last)}"
    band = f"; healthy range: {curve.band}" if curve.band else ""
    return f"{stage}: {heading} went {change}{band}"


def _line(
    axes: "Axes", points: Points, color: str, *, width: float, alpha: float = 1, marker: str = ""
) -> None:
    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=COLORS[color], linewidth=width, alpha=alpha, marker=marker, markersize=3)


def _shade_band(axes: "Axes", curve: Panel) -> None:
    """Shade the part of the healthy range that is close to the curve."""
    if curve.band is None:
        return
    low, high = axes.get_ylim()
    span = high - low
    ends = [edge for edge in (curve.band.low, curve.band.high) if edge is not None]
    for edge in ends:
        if low - span <= edge <= high + span:
            low, high = min(low, edge - span / 20), max(high, edge + span / 20)
    bottom = low if curve.band.low is None else max(low, curve.band.low)
    top = high if curve.band.high is None else min(high, curve.band.high)
    if bottom < top:
        axes.axhspan(bottom, top, color=COLORS["band"], linewidth=0, zorder=0)
    axes.set_ylim(low, high)


def downsample(points: Points, *, limit: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Return at most `limit` points, each the mean of its neighbours.

    >>> downsample([(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)], limit=2)
    [(1.5, 2.0), (3.5, 6.0)]
    """
    if len(points) <= limit:
        return [(float(x), float(y)) for x, y in points]
    parts = np.array_split(np.asarray(points, np.float64), limit)
    return [(float(x), float(y)) for x, y in (part.mean(axis=0) for part in parts)]


def moving_average(points: Points) -> list[tuple[float, float]]:
    """Return the moving average over a tenth of the line; the window shrinks at both ends."""
    half = max(1, len(points) // 20)
    y = np.array([value for _, value in points], np.float64)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    positions = np.arange(len(y))
    half_widths = np.minimum(half, np.minimum(positions, len(y) - 1 - positions))
    means = (sums[positions + half_widths + 1] - sums[positions - half_widths]) / (
        2 * half_widths + 1
    )
    return [(float(x), float(mean)) for (x, _), mean in zip(points, means, strict=True)]


def dots(
    rows: Sequence[tuple[str, Mapping[str, EvalResult]]],
    colors: Mapping[str, str],
    *,
    name: str,
    title: str,
) -> Markup:
    """Return one row per metric: a marker with its interval for each model, in percent."""
    height = AXIS_HEIGHT + ROW_HEIGHT * len(rows) * max(1.0, 0.45 * len(colors))
    with figure(FULL_WIDTH, height) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="x")
        for row, (_, values) in enumerate(rows):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color=COLORS["stripe"], linewidth=0, zorder=0)
            for model_index, (model, marker) in enumerate(zip(colors, _markers(), strict=False)):
                if model in values:
                    y = row + (model_index - (len(colors) - 1) / 2) * 0.75 / max(1, len(colors))
                    _dot(axes, values[model], y, color=colors[model], marker=marker)
        axes.set_yticks(range(len(rows)), [_truncate(label) for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=COLORS["ink"])
        axes.set_xlim(-2, 102)
        axes.set_xlabel("percent")
        axes.spines["left"].set_visible(False)
        return svg(fig, name=name, title=title)


def _dot(axes: "Axes", measured: EvalResult, y: float, *, color: str, marker: str) -> None:
    if measured.value is None:
        return
    line_color, value = COLORS[color], 100 * measured.value
    if measured.low is not None and measured.high is not None:
        axes.plot(
            [100 * measured.low, 100 * measured.high], [y, y], color=line_color, linewidth=1.4
        )
    axes.plot([value], [y], marker=marker, markersize=5, color=line_color, linewidth=0)


def changes(rows: Sequence[ScorecardRow], *, name: str, title: str) -> Markup:
    """Return one bar per capability: its change in percentage points or percent."""
    with figure(FULL_WIDTH, AXIS_HEIGHT + ROW_HEIGHT * len(rows)) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="x")
        for row_index, row in enumerate(rows):
            value, low, high = change_of(row)
            color = {"better": "good", "worse": "bad"}.get(row.change, "base")
            axes.barh(row_index, value, height=0.5, color=COLORS[color], alpha=0.5)
            if low is not None and high is not None:
                axes.plot([low, high], [row_index, row_index], color=COLORS["ink"], linewidth=1.2)
        axes.axvline(0, color=COLORS["soft"], linewidth=0.8)
        labels = [texts.title(row.name, texts.RESULT_TITLES) for row in rows]
        axes.set_yticks(range(len(rows)), [_truncate(label) for label in labels])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=COLORS["ink"])
        axes.set_xlabel("worse ← → better (percentage points for shares, percent otherwise)")
        axes.spines["left"].set_visible(False)
        return svg(fig, name=name, title=title)


def change_of(row: ScorecardRow) -> tuple[float, float | None, float | None]:
    """Return a change in percentage points or percent with its interval; positive is better."""
    sign = 1 if row.is_higher_better in {True, None} else -1
    if row.paired is not None and row.paired.value is not None:
        bounds = (row.paired.value, row.paired.low, row.paired.high)
        is_share = row.paired.unit == "share"
    else:
        bounds = ((row.after.value or 0.0) - (row.before.value or 0.0), None, None)
        is_share = row.unit == "share"
    scale = sign * (100 if is_share else 100 / abs(row.before.value or 1.0))
    value, *ends = (None if each is None else scale * each for each in bounds)
    low, high = sorted(ends, key=lambda end: math.inf if end is None else end)
    return value or 0.0, low, high


def distributions(
    values: Mapping[str, Sequence[float]], colors: Mapping[str, str], *, name: str, title: str
) -> Markup:
    """Return one histogram per model: its response scores and their mean."""
    all_scores = np.concatenate([np.asarray(own, np.float64) for own in values.values()])
    low, high = float(all_scores.min()), float(all_scores.max())
    edges = np.linspace(low, high if high > low else low + 1, NUM_BINS + 1)
    with figure(FULL_WIDTH, AXIS_HEIGHT + 0.75 * len(values)) as fig:
        shared_axes = None
        for model_index, (model, own) in enumerate(values.items()):
            axes = fig.add_subplot(len(values), 1, model_index + 1, sharex=shared_axes)
            shared_axes = shared_axes or axes
            color = COLORS[colors[model]]
            axes.hist(own, bins=edges.tolist(), color=color, alpha=0.55, linewidth=0)
            mean = float(np.mean(own))
            axes.axvline(mean, color=color, linewidth=1.6)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_title(f"{_truncate(model)}: mean {texts.format_number(mean)}", loc="left")
            axes.tick_params(labelbottom=model_index == len(values) - 1)
        if shared_axes is not None:
            axes.set_xlabel("score of a response")
        return svg(fig, name=name, title=title)


def overoptimization(proxy_curve: OveroptimizationCurve, *, name: str, title: str) -> Markup:
    """Return the reward trained on and the held-out judge's score over √KL to the reference."""
    with figure(FULL_WIDTH, 2.6) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="y")
        series = [("reward (trained on)", proxy_curve.proxy_scores, "c2", "s")]
        if proxy_curve.judge_scores:
            series.append(("judge (held out)", proxy_curve.judge_scores, "c1", "o"))
        for label, values, color, marker in series:
            _line(
                axes,
                list(zip(proxy_curve.sqrt_kl, values, strict=True)),
                color,
                width=1.5,
                marker=marker,
            )
            axes.plot([], [], color=COLORS[color], marker=marker, markersize=4, label=label)
        if proxy_curve.fit is not None:
            distances = np.linspace(
                max(1e-3, min(proxy_curve.sqrt_kl)), max(proxy_curve.sqrt_kl), 60
            ).tolist()
            curve = list(zip(distances, proxy_curve.fitted_scores(distances), strict=True))
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, color=COLORS["soft"], linewidth=1, linestyle="--", label="fitted")
        axes.set_xlabel("distance from the reference model (√KL)")
        axes.set_ylabel("score")
        axes.legend(
            frameon=False,
            labelcolor=COLORS["ink"],
            ncols=3,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
        )
        return svg(fig, name=name, title=title)


def _markers() -> Sequence[str]:
    return MARKERS * 10


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_LABEL_LENGTH else text[: MAX_LABEL_LENGTH - 1] + "…"

"""The pictures of the report, one function each: from numbers to an SVG element.

No picture says what its caption does not say in words, and none tells models apart by colour alone.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from upbring.report import texts
from upbring.report.curves import Panel, Pursuit
from upbring.report.scorecard import Row
from upbring.report.svg import COLOURS, MARKERS, figure, svg
from upbring.runs.results import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[float, float]]

WIDE, PANEL = 7.2, 2.75  # inches
MOST_POINTS = 300  # of a line: more than a panel has pixels
NUM_BINS = 40
SMOOTH_OVER = 30  # points, from which on a line is smoothed too
ROW_HEIGHT, EDGE = 0.3, 0.55
MOST_LABEL = 48


@lru_cache(maxsize=256)  # a live page draws anew only what has grown
def panel(drawn: Panel, *, name: str, where: str) -> Markup:
    """Return a learning curve: what was trained on, what was held out, and the healthy band."""
    heading = texts.title(drawn.name, texts.METRICS)
    with figure(PANEL, 1.9, is_small=True) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="y")
        trained, held_out = thinned(drawn.trained), drawn.held_out
        if drawn.trained:
            is_many = len(trained) > SMOOTH_OVER
            _line(axes, trained, "c1", width=0.8 if is_many else 1.4, alpha=0.45 if is_many else 1)
            if is_many:
                _line(axes, smoothed(trained), "c1", width=1.6)
        if held_out:
            _line(
                axes, held_out, "c2", width=1.4, marker="o" if len(held_out) < MOST_POINTS else ""
            )
        _band(axes, drawn)
        axes.set_title(heading, loc="left", color=COLOURS["ink"])
        axes.margins(x=0.02)
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.locator_params(axis="y", nbins=5)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        return svg(fig, name=name, title=_told(drawn, heading, where))


def _told(drawn: Panel, heading: str, where: str) -> str:
    first = (drawn.held_out or drawn.trained)[0][1]
    change = f"from {texts.number(first)} to {texts.number(drawn.last)}"
    band = f"; healthy is {drawn.band}" if drawn.band else ""
    return f"{where}: {heading} went {change}{band}"


def _line(
    axes: "Axes", points: Points, colour: str, *, width: float, alpha: float = 1, marker: str = ""
) -> None:
    x, y = zip(*points, strict=True)
    axes.plot(
        x, y, color=COLOURS[colour], linewidth=width, alpha=alpha, marker=marker, markersize=3
    )


def _band(axes: "Axes", drawn: Panel) -> None:
    """Shade the healthy band, as far as it is near to the curve."""
    if drawn.band is None:
        return
    low, high = axes.get_ylim()
    room = high - low
    ends = [edge for edge in (drawn.band.low, drawn.band.high) if edge is not None]
    for edge in ends:
        if low - room <= edge <= high + room:
            low, high = min(low, edge - room / 20), max(high, edge + room / 20)
    bottom = low if drawn.band.low is None else max(low, drawn.band.low)
    top = high if drawn.band.high is None else min(high, drawn.band.high)
    if bottom < top:
        axes.axhspan(bottom, top, color=COLOURS["band"], linewidth=0, zorder=0)
    axes.set_ylim(low, high)


def thinned(points: Points, *, limit: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Return at most `limit` points, each the mean of its neighbours.

    >>> thinned([(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)], limit=2)
    [(1.5, 2.0), (3.5, 6.0)]
    """
    if len(points) <= limit:
        return [(float(x), float(y)) for x, y in points]
    parts = np.array_split(np.asarray(points, np.float64), limit)
    return [(float(x), float(y)) for x, y in (part.mean(axis=0) for part in parts)]


def smoothed(points: Points) -> list[tuple[float, float]]:
    """Return the moving average over a tenth of a line, narrower at its ends."""
    half = max(1, len(points) // 20)
    y = np.array([value for _, value in points], np.float64)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    place = np.arange(len(y))
    reach = np.minimum(half, np.minimum(place, len(y) - 1 - place))
    means = (sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1)
    return [(float(x), float(mean)) for (x, _), mean in zip(points, means, strict=True)]


def dots(
    rows: Sequence[tuple[str, Mapping[str, Measured]]],
    colours: Mapping[str, str],
    *,
    name: str,
    title: str,
) -> Markup:
    """Return a row of dots with intervals for each number: one dot for each model, in percent."""
    height = EDGE + ROW_HEIGHT * len(rows) * max(1.0, 0.45 * len(colours))
    with figure(WIDE, height) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="x")
        for row, (_, values) in enumerate(rows):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color=COLOURS["stripe"], linewidth=0, zorder=0)
            for place, (model, marker) in enumerate(zip(colours, _markers(), strict=False)):
                if model in values:
                    y = row + (place - (len(colours) - 1) / 2) * 0.75 / max(1, len(colours))
                    _dot(axes, values[model], y, colour=colours[model], marker=marker)
        axes.set_yticks(range(len(rows)), [_short(label) for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        axes.set_xlim(-2, 102)
        axes.set_xlabel("percent")
        axes.spines["left"].set_visible(False)
        return svg(fig, name=name, title=title)


def _dot(axes: "Axes", measured: Measured, y: float, *, colour: str, marker: str) -> None:
    if measured.value is None:
        return
    ink, value = COLOURS[colour], 100 * measured.value
    if measured.low is not None and measured.high is not None:
        axes.plot([100 * measured.low, 100 * measured.high], [y, y], color=ink, linewidth=1.4)
    axes.plot([value], [y], marker=marker, markersize=5, color=ink, linewidth=0)


def changes(rows: Sequence[Row], *, name: str, title: str) -> Markup:
    """Return a bar for each capability: by how many points or percent it rose or fell."""
    with figure(WIDE, EDGE + ROW_HEIGHT * len(rows)) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="x")
        for place, row in enumerate(rows):
            value, low, high = change_of(row)
            colour = {"better": "good", "worse": "bad"}.get(row.change, "base")
            axes.barh(place, value, height=0.5, color=COLOURS[colour], alpha=0.5)
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=COLOURS["ink"], linewidth=1.2)
        axes.axvline(0, color=COLOURS["soft"], linewidth=0.8)
        labels = [texts.title(row.name, texts.NUMBERS) for row in rows]
        axes.set_yticks(range(len(rows)), [_short(label) for label in labels])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        axes.set_xlabel("towards worse ← → better: points of a share, percent of other numbers")
        axes.spines["left"].set_visible(False)
        return svg(fig, name=name, title=title)


def change_of(row: Row) -> tuple[float, float | None, float | None]:
    """Return a change in points or percent, towards better being positive, and its bounds."""
    sign = 1 if row.is_higher_better in {True, None} else -1
    if row.paired is not None and row.paired.value is not None:
        found = (row.paired.value, row.paired.low, row.paired.high)
        is_share = row.paired.unit == "share"
    else:
        found = ((row.after.value or 0.0) - (row.before.value or 0.0), None, None)
        is_share = row.unit == "share"
    scale = sign * (100 if is_share else 100 / abs(row.before.value or 1.0))
    value, *ends = (None if each is None else scale * each for each in found)
    low, high = sorted(ends, key=lambda end: math.inf if end is None else end)
    return value or 0.0, low, high


def distributions(
    values: Mapping[str, Sequence[float]], colours: Mapping[str, str], *, name: str, title: str
) -> Markup:
    """Return a row for each model: how many answers got which score, and their mean."""
    every = np.concatenate([np.asarray(own, np.float64) for own in values.values()])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, NUM_BINS + 1)
    with figure(WIDE, EDGE + 0.75 * len(values)) as fig:
        shared = None
        for place, (model, own) in enumerate(values.items()):
            axes = fig.add_subplot(len(values), 1, place + 1, sharex=shared)
            shared = shared or axes
            ink = COLOURS[colours[model]]
            axes.hist(own, bins=edges.tolist(), color=ink, alpha=0.55, linewidth=0)
            mean = float(np.mean(own))
            axes.axvline(mean, color=ink, linewidth=1.6)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_title(f"{_short(model)}: mean {texts.number(mean)}", loc="left")
            axes.tick_params(labelbottom=place == len(values) - 1)
        if shared is not None:
            axes.set_xlabel("score of an answer")
        return svg(fig, name=name, title=title)


def pursuit(drawn: Pursuit, *, name: str, title: str) -> Markup:
    """Return the reward that was pursued and the judge's score, by √KL to the reference."""
    with figure(WIDE, 2.6) as fig:
        axes = fig.add_subplot()
        axes.grid(axis="y")
        series = [("reward (pursued)", drawn.proxy, "c2", "s")]
        if drawn.judged:
            series.append(("judge (held out)", drawn.judged, "c1", "o"))
        for label, values, colour, marker in series:
            _line(
                axes,
                list(zip(drawn.distance, values, strict=True)),
                colour,
                width=1.5,
                marker=marker,
            )
            axes.plot([], [], color=COLOURS[colour], marker=marker, markersize=4, label=label)
        if drawn.fit is not None:
            reach = np.linspace(max(1e-3, min(drawn.distance)), max(drawn.distance), 60).tolist()
            curve = list(zip(reach, drawn.fitted(reach), strict=True))
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, color=COLOURS["soft"], linewidth=1, linestyle="--", label="fitted")
        axes.set_xlabel("distance from the reference, √KL")
        axes.set_ylabel("score")
        axes.legend(
            frameon=False,
            labelcolor=COLOURS["ink"],
            ncols=3,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
        )
        return svg(fig, name=name, title=title)


def _markers() -> Sequence[str]:
    return MARKERS * 10


def _short(text: str) -> str:
    return text if len(text) <= MOST_LABEL else text[: MOST_LABEL - 1] + "…"

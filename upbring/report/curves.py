"""Training curves of a stage, healthy metric ranges, and reward overoptimization curves.

A band is the usual range of a metric in a healthy run; a value outside it deserves a look, no more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.maths.overoptimization import FittedCurve, fit_curve, rl_reward
from upbring.report.run_data import Evidence, ReportedStage
from upbring.train.healthy_ranges import healthy_range
from upbring.train.progress import Band

MAX_PANELS = 9
MIN_CLEAR_DROP = 0.2  # share of the judge score's range; a smaller drop counts as noise
PANEL_ORDER = (
    *("nll", "loss", "accuracy", "reward", "judge", "kl", "margin", "perplexity", "length"),
    *("ended", "entropy", "clip_fraction", "ratio", "value", "policy"),
    *("log_ratio", "chosen_logratio", "score", "gradient_norm", "learning_rate"),
)
HIDDEN_METRICS = frozenset(
    {"tokens", "seconds", "peak_memory_bytes", "memory_bytes", "beta", "replay"}
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric of a stage over its training steps."""

    name: str
    train: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]
    band: Band | None

    @property
    def last(self) -> float:
        """The last held-out value, or the last training value if there is none."""
        return (self.held_out or self.train)[-1][1]

    @property
    def is_healthy(self) -> bool | None:
        """Whether the last value is inside the band; None without a band."""
        return None if self.band is None else self.band.contains(self.last)


def panels(stage: ReportedStage) -> list[Panel]:
    """Return the metrics of a stage to plot, the most informative first."""
    names = list(dict.fromkeys(name for record in stage.records for name in record.values))
    order = list(dict.fromkeys((*stage.panels, *PANEL_ORDER)))
    ordered = [name for name in order if name in names and not _is_duplicate(name, stage)]
    rest = [name for name in names if name not in order and name not in HIDDEN_METRICS]
    candidates = [_panel(stage, name) for name in (*ordered, *rest)]
    return [panel for panel in candidates if panel.train or panel.held_out][:MAX_PANELS]


def _is_duplicate(name: str, stage: ReportedStage) -> bool:
    """Whether a metric repeats another one that is plotted: exp(nll), or a loss equal to nll."""
    if name == "perplexity":
        return bool(stage.metric_series("nll", "held_out"))
    return name == "loss" and stage.metric_series("loss", "train") == stage.metric_series(
        "nll", "train"
    )


def _panel(stage: ReportedStage, name: str) -> Panel:
    train, held_out = (
        tuple(
            (step, value) for step, value in stage.metric_series(name, kind) if math.isfinite(value)
        )
        for kind in ("train", "held_out")
    )
    return Panel(name, train, held_out, healthy_range(name, stage.learns_from))


@dataclass(frozen=True, slots=True)
class OveroptimizationCurve:
    """The reward trained on (proxy) and the held-out judge's score, as functions of √KL."""

    stage: str
    sqrt_kl: tuple[float, ...]
    proxy_scores: tuple[float, ...]
    judge_scores: tuple[float, ...]  # empty without a judge
    judge: str | None  # the held-out judge's name
    fit: FittedCurve | None  # the curve of Gao et al., fitted to the judge's gain

    @property
    def is_hacked(self) -> bool | None:
        """Whether the judge's score dropped clearly from its best while the proxy still rose."""
        if not self.judge_scores:
            return None
        best = int(np.argmax(self.judge_scores))
        spread = max(self.judge_scores) - min(self.judge_scores)
        drop = self.judge_scores[best] - self.judge_scores[-1]
        return (
            drop > MIN_CLEAR_DROP * spread > 0 and self.proxy_scores[-1] > self.proxy_scores[best]
        )

    def fitted_scores(self, distance: Sequence[float]) -> list[float]:
        """Return the fitted judge scores at these values of √KL; empty without a fit."""
        if self.fit is None:
            return []
        gains = rl_reward(np.asarray(distance, np.float64), self.fit.alpha, self.fit.beta)
        return [float(gain) + self.judge_scores[0] for gain in gains]


def overoptimization_curves(evidence: Evidence) -> list[OveroptimizationCurve]:
    """Return a curve for each stage that logged KL and reward on held-out prompts."""
    curves = [_overoptimization_curve(stage) for stage in evidence.training_stages]
    return [each for each in curves if each is not None]


def _overoptimization_curve(stage: ReportedStage) -> OveroptimizationCurve | None:
    held_out = [record.values for record in stage.records if record.kind == "held_out"]
    is_judged = any("judge" in values for values in held_out)
    required = ["kl", "reward", *(["judge"] if is_judged else [])]
    rows = [v for v in held_out if all(math.isfinite(v.get(name, math.nan)) for name in required)]
    if len(rows) < 2:  # noqa: PLR2004 -- a curve needs two points
        return None
    judge_scores = _column(rows, "judge") if is_judged else ()
    fit = _fit(_column(rows, "kl"), judge_scores)
    sqrt_kl = tuple(math.sqrt(max(0.0, value)) for value in _column(rows, "kl"))
    proxy_scores, judge = _column(rows, "reward"), stage.inputs.get("judge")
    return OveroptimizationCurve(stage.name, sqrt_kl, proxy_scores, judge_scores, judge, fit)


def _column(rows: Sequence[dict[str, float]], name: str) -> tuple[float, ...]:
    return tuple(row[name] for row in rows)


def _fit(kl: Sequence[float], judge_scores: Sequence[float]) -> FittedCurve | None:
    if not judge_scores:
        return None
    gain = np.asarray(judge_scores, np.float64) - judge_scores[0]
    return fit_curve(rl_reward, np.asarray(kl, np.float64), gain)

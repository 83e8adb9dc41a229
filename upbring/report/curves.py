"""The learning curves of a stage, the ranges in which they are healthy, and the proxy's curve.

A band says where a number usually lies when all goes well; outside of it one should look, no more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.maths.overoptimization import FittedCurve, fit_curve, rl_reward
from upbring.report.run_data import Evidence, ReportedStage
from upbring.train.progress import Band

MAX_PANELS = 9
MIN_CLEAR_DROP = 0.2  # of the judge's whole range: a fall that is more than noise
PANEL_ORDER = (
    *("nll", "loss", "accuracy", "reward", "judge", "kl", "margin", "perplexity", "length"),
    *("ended", "entropy", "clip_fraction", "ratio", "explained_variance", "value", "policy"),
    *("log_ratio", "chosen_logratio", "score", "gradient_norm", "learning_rate"),
)
HIDDEN_METRICS = frozenset(
    {"tokens", "seconds", "peak_memory_bytes", "memory_bytes", "beta", "replay"}
)
KL_METRICS = ("kl", "kl_to_reference")
PROXY_METRICS = ("proxy", "reward", "score")
JUDGE_METRICS = ("judge", "gold", "held_out_judge", "judged")

BANDS: dict[str, Band] = {
    "clip_fraction": Band(0.0, 0.3, "Most updates are cut: lower the learning rate."),
    "ratio": Band(0.9, 1.1, "The policy moves too far in one rollout: take fewer inner epochs."),
    "explained_variance": Band(0.0, None, "The value knows less than a constant: warm it up."),
    "kl": Band(0.0, 25.0, "The answers are far from the reference: raise beta."),
    "ended": Band(0.9, None, "Many answers never end: allow more tokens, or fine what has no end."),
    "chosen_logratio": Band(-0.1, None, "The preferred answers became less likely: raise beta."),
    "sampler_gap": Band(None, 1e-2, "Sampling and scoring disagree: use more precise numbers."),
}
PREFERENCE_BANDS = {
    "accuracy": Band(0.6, 0.95, "Near 0.5 nothing is learned; near 1 look for a leak."),
}
PREFERENCE_METHODS = frozenset({"reward", "dpo", "ipo", "kto", "orpo", "simpo"})


@dataclass(frozen=True, slots=True)
class Panel:
    """One number of a stage over its steps."""

    name: str
    train: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]
    band: Band | None

    @property
    def last(self) -> float:
        """The last value, of held-out rows if there is one."""
        return (self.held_out or self.train)[-1][1]

    @property
    def is_healthy(self) -> bool | None:
        """Whether the last value lies in the band; None where there is none."""
        return None if self.band is None else self.band.contains(self.last)


def panels(stage: ReportedStage) -> list[Panel]:
    """Return what to draw of a stage, the telling numbers first."""
    names = list(dict.fromkeys(name for record in stage.records for name in record.values))
    ordered = [name for name in PANEL_ORDER if name in names and not _is_duplicate(name, stage)]
    rest = [name for name in names if name not in PANEL_ORDER and name not in HIDDEN_METRICS]
    candidates = [_panel(stage, name) for name in (*ordered, *rest)]
    return [panel for panel in candidates if panel.train or panel.held_out][:MAX_PANELS]


def _is_duplicate(name: str, stage: ReportedStage) -> bool:
    """Whether a loss is its only term, drawn already."""
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
    return Panel(name, train, held_out, band_of(name, stage.command))


def band_of(name: str, method: str) -> Band | None:
    """Return where a number of a method is healthy, where that is known."""
    specific = PREFERENCE_BANDS.get(name) if method in PREFERENCE_METHODS else None
    return specific or BANDS.get(name)


@dataclass(frozen=True, slots=True)
class OveroptimizationCurve:
    """How the reward that was pursued and the judge that was not went, by √KL."""

    stage: str
    sqrt_kl: tuple[float, ...]  # √KL
    proxy_scores: tuple[float, ...]
    judge_scores: tuple[float, ...]  # as many, or none where nobody judged
    fit: FittedCurve | None  # of Gao et al. to the judge's gain

    @property
    def is_hacked(self) -> bool | None:
        """Whether the judge's score fell clearly from its best while the proxy rose."""
        if not self.judge_scores:
            return None
        best = int(np.argmax(self.judge_scores))
        spread = max(self.judge_scores) - min(self.judge_scores)
        drop = self.judge_scores[best] - self.judge_scores[-1]
        return (
            drop > MIN_CLEAR_DROP * spread > 0 and self.proxy_scores[-1] > self.proxy_scores[best]
        )

    def fitted_scores(self, distance: Sequence[float]) -> list[float]:
        """Return the fitted curve at some distances."""
        if self.fit is None:
            return []
        gains = rl_reward(np.asarray(distance, np.float64), self.fit.alpha, self.fit.beta)
        return [float(gain) + self.judge_scores[0] for gain in gains]


def overoptimization_curves(evidence: Evidence) -> list[OveroptimizationCurve]:
    """Return the pursuit of every stage that wrote distance and reward on held-out prompts."""
    curves = [_overoptimization_curve(stage) for stage in evidence.training_stages]
    return [each for each in curves if each is not None]


def _overoptimization_curve(stage: ReportedStage) -> OveroptimizationCurve | None:
    held_out = [record.values for record in stage.records if record.kind == "held_out"]
    kl, proxy, judge = (
        _first_present(held_out, names) for names in (KL_METRICS, PROXY_METRICS, JUDGE_METRICS)
    )
    if kl is None or proxy is None:
        return None
    required = [kl, proxy, *([judge] if judge else [])]
    rows = [v for v in held_out if all(math.isfinite(v.get(name, math.nan)) for name in required)]
    if len(rows) < 2:  # noqa: PLR2004 -- a curve
        return None
    judge_scores = _column(rows, judge) if judge else ()
    fit = _fit(_column(rows, kl), judge_scores)
    sqrt_kl = tuple(math.sqrt(max(0.0, value)) for value in _column(rows, kl))
    return OveroptimizationCurve(stage.name, sqrt_kl, _column(rows, proxy), judge_scores, fit)


def _column(rows: Sequence[dict[str, float]], name: str) -> tuple[float, ...]:
    return tuple(row[name] for row in rows)


def _first_present(rows: Sequence[dict[str, float]], names: Sequence[str]) -> str | None:
    return next((name for name in names if any(name in row for row in rows)), None)


def _fit(kl: Sequence[float], judge_scores: Sequence[float]) -> FittedCurve | None:
    if not judge_scores:
        return None
    gain = np.asarray(judge_scores, np.float64) - judge_scores[0]
    return fit_curve(rl_reward, np.asarray(kl, np.float64), gain)

"""The learning curves of a stage, the ranges in which they are healthy, and the proxy's curve.

A band says where a number usually lies when all goes well; outside of it one should look, no more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.maths.overoptimization import Curve, fitted, reinforced
from upbring.report.run_data import Evidence, Stage
from upbring.train.progress import Band

MOST_PANELS = 9
CLEAR = 0.2  # of the judge's whole range: a fall that is more than noise
FIRST = (
    *("nll", "loss", "accuracy", "reward", "judge", "kl", "margin", "perplexity", "length"),
    *("ended", "entropy", "clip_fraction", "ratio", "explained_variance", "value", "policy"),
    *("log_ratio", "chosen_logratio", "score", "gradient_norm", "learning_rate"),
)
UNDRAWN = frozenset({"tokens", "seconds", "peak_memory_bytes", "memory_bytes", "beta", "replay"})
KL = ("kl", "kl_to_reference")
PROXY = ("proxy", "reward", "score")
JUDGE = ("judge", "gold", "held_out_judge", "judged")

BANDS: dict[str, Band] = {
    "clip_fraction": Band(0.0, 0.3, "Most updates are cut: lower the learning rate."),
    "ratio": Band(0.9, 1.1, "The policy moves too far in one rollout: take fewer inner epochs."),
    "explained_variance": Band(0.0, None, "The value knows less than a constant: warm it up."),
    "kl": Band(0.0, 25.0, "The answers are far from the reference: raise beta."),
    "ended": Band(0.9, None, "Many answers never end: allow more tokens, or fine what has no end."),
    "chosen_logratio": Band(-0.1, None, "The preferred answers became less likely: raise beta."),
    "sampler_gap": Band(None, 1e-2, "Sampling and scoring disagree: use more precise numbers."),
}
RANKING_BANDS = {
    "accuracy": Band(0.6, 0.95, "Near 0.5 nothing is learned; near 1 look for a leak."),
}
RANKED = frozenset({"reward", "dpo", "ipo", "kto", "orpo", "simpo"})


@dataclass(frozen=True, slots=True)
class Panel:
    """One number of a stage over its steps."""

    name: str
    trained: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]
    band: Band | None

    @property
    def last(self) -> float:
        """The last value, of held-out rows if there is one."""
        return (self.held_out or self.trained)[-1][1]

    @property
    def is_healthy(self) -> bool | None:
        """Whether the last value lies in the band; None where there is none."""
        return None if self.band is None else self.band.holds(self.last)


def panels(stage: Stage) -> list[Panel]:
    """Return what to draw of a stage, the telling numbers first."""
    names = list(dict.fromkeys(name for record in stage.records for name in record.values))
    known = [name for name in FIRST if name in names and not _is_twin(name, stage)]
    rest = [name for name in names if name not in FIRST and name not in UNDRAWN]
    found = [_panel(stage, name) for name in (*known, *rest)]
    return [panel for panel in found if panel.trained or panel.held_out][:MOST_PANELS]


def _is_twin(name: str, stage: Stage) -> bool:
    """Whether a loss is its only term, drawn already."""
    if name == "perplexity":
        return bool(stage.values("nll", "held_out"))
    return name == "loss" and stage.values("loss", "train") == stage.values("nll", "train")


def _panel(stage: Stage, name: str) -> Panel:
    trained, held_out = (
        tuple((step, value) for step, value in stage.values(name, kind) if math.isfinite(value))
        for kind in ("train", "held_out")
    )
    return Panel(name, trained, held_out, band_of(name, stage.verb))


def band_of(name: str, verb: str) -> Band | None:
    """Return where a number of a verb is healthy, where that is known."""
    own = RANKING_BANDS.get(name) if verb in RANKED else None
    return own or BANDS.get(name)


@dataclass(frozen=True, slots=True)
class Pursuit:
    """How the reward that was pursued and the judge that was not went, by √KL."""

    stage: str
    distance: tuple[float, ...]  # √KL
    proxy: tuple[float, ...]
    judged: tuple[float, ...]  # as many, or none where nobody judged
    fit: Curve | None  # of Gao et al. to the judge's gain

    @property
    def is_hacked(self) -> bool | None:
        """Whether the judge's score fell clearly from its best while the proxy rose."""
        if not self.judged:
            return None
        best = int(np.argmax(self.judged))
        spread = max(self.judged) - min(self.judged)
        fell = self.judged[best] - self.judged[-1]
        return fell > CLEAR * spread > 0 and self.proxy[-1] > self.proxy[best]

    def fitted(self, distance: Sequence[float]) -> list[float]:
        """Return the fitted curve at some distances."""
        if self.fit is None:
            return []
        gains = reinforced(np.asarray(distance, np.float64), self.fit.alpha, self.fit.beta)
        return [float(gain) + self.judged[0] for gain in gains]


def pursuits(evidence: Evidence) -> list[Pursuit]:
    """Return the pursuit of every stage that wrote distance and reward on held-out prompts."""
    found = [_pursuit(stage) for stage in evidence.runs]
    return [each for each in found if each is not None]


def _pursuit(stage: Stage) -> Pursuit | None:
    own = [record.values for record in stage.records if record.kind == "held_out"]
    kl, proxy, judge = (_first(own, names) for names in (KL, PROXY, JUDGE))
    if kl is None or proxy is None:
        return None
    wanted = [kl, proxy, *([judge] if judge else [])]
    rows = [v for v in own if all(math.isfinite(v.get(name, math.nan)) for name in wanted)]
    if len(rows) < 2:  # noqa: PLR2004 -- a curve
        return None
    judged = _column(rows, judge) if judge else ()
    fit = _fit(_column(rows, kl), judged)
    distance = tuple(math.sqrt(max(0.0, value)) for value in _column(rows, kl))
    return Pursuit(stage.name, distance, _column(rows, proxy), judged, fit)


def _column(rows: Sequence[dict[str, float]], name: str) -> tuple[float, ...]:
    return tuple(row[name] for row in rows)


def _first(rows: Sequence[dict[str, float]], names: Sequence[str]) -> str | None:
    return next((name for name in names if any(name in row for row in rows)), None)


def _fit(kl: Sequence[float], judged: Sequence[float]) -> Curve | None:
    if not judged:
        return None
    gain = np.asarray(judged, np.float64) - judged[0]
    return fitted(reinforced, np.asarray(kl, np.float64), gain)

import math
from dataclasses import replace
from pathlib import Path

import pytest

from upbring.report.curves import MAX_PANELS, overoptimization_curves, panels
from upbring.report.run_data import Evidence, ReportedStage
from upbring.runs.metrics import MetricsKind, MetricsRecord


def stage(*rows: tuple[int, MetricsKind, dict[str, float]], method: str = "ppo") -> ReportedStage:
    records = tuple(MetricsRecord(step, kind, 0.0, own) for step, kind, own in rows)
    learns_from = "prompts" if method == "ppo" else "demonstrations"
    path = Path("x")
    return ReportedStage("s", method, path, "running", records=records, learns_from=learns_from)


def pursued(*rows: dict[str, float]) -> Evidence:
    return Evidence("t", (stage(*((i, "held_out", row) for i, row in enumerate(rows))),))


def test_informative_metrics_come_first_and_duplicates_once() -> None:
    own = {"seconds": 1.0, "gradient_norm": 2.0, "loss": 3.0, "nll": 3.0, "odd": 1.0}
    found = panels(stage((1, "train", own), (1, "held_out", {"nll": 4.0, "perplexity": 54.0})))
    assert [panel.name for panel in found] == ["nll", "gradient_norm", "odd"]
    assert found[0].train == ((1, 3.0),)
    assert found[0].held_out == ((1, 4.0),)
    assert found[0].last == 4.0


def test_non_finite_metrics_are_dropped_and_panels_are_limited() -> None:
    many = {f"number_{i}": float(i) for i in range(30)}
    found = panels(stage((1, "train", {"loss": math.nan, **many})))
    assert len(found) == MAX_PANELS
    assert "loss" not in [panel.name for panel in found]


def test_a_band_defines_whether_a_metric_is_healthy() -> None:
    metrics = {"clip_fraction": 0.5, "entropy": 1.0, "loss": 1.0}
    found = {p.name: p for p in panels(stage((1, "train", metrics)))}
    assert found["clip_fraction"].is_healthy is False
    assert found["entropy"].is_healthy is True
    assert found["loss"].is_healthy is None


def test_a_reward_that_rises_while_the_judge_falls_is_hacked() -> None:
    rows = [
        {"kl": 0.0, "reward": 0.0, "judge": 0.0},
        {"kl": 1.0, "reward": 1.0, "judge": 1.0},
        {"kl": 4.0, "reward": 2.0, "judge": 1.4},
        {"kl": 9.0, "reward": 3.0, "judge": 0.4},
    ]
    (found,) = overoptimization_curves(pursued(*rows))
    assert found.sqrt_kl == (0.0, 1.0, 2.0, 3.0)
    assert found.is_hacked is True
    (honest,) = overoptimization_curves(pursued(*rows[:3]))
    assert honest.is_hacked is False


def test_gold_on_the_papers_curve_is_fitted_exactly() -> None:
    # Gao et al.: R(d) = d (α − β ln d), here with α = 2 and β = 0.7, from a first score of 0.5
    gold = [0.5 + d * (2 - 0.7 * math.log(d)) for d in (0.5, 1.0, 1.5, 2.0, 3.0)]
    rows = [{"kl": 0.0, "reward": 0.0, "judge": 0.5}]
    for d, value in zip((0.5, 1.0, 1.5, 2.0, 3.0), gold, strict=True):
        rows.append({"kl": d * d, "reward": d, "judge": value})
    (found,) = overoptimization_curves(pursued(*rows))
    assert found.fit is not None
    assert (found.fit.alpha, found.fit.beta) == pytest.approx((2.0, 0.7), abs=1e-6)
    assert found.fitted_scores([1.0]) == pytest.approx([2.5])


def test_without_a_judge_hacking_is_unknown_and_one_point_is_no_curve() -> None:
    (found,) = overoptimization_curves(
        pursued({"kl": 0.0, "reward": 0.0}, {"kl": 1.0, "reward": 1.0})
    )
    assert found.is_hacked is None
    assert found.fitted_scores([1.0]) == []
    assert overoptimization_curves(pursued({"kl": 0.0, "reward": 0.0}, {"kl": 1.0})) == []
    assert overoptimization_curves(pursued({"nll": 1.0}, {"nll": 2.0})) == []


def test_the_panels_that_a_method_declares_come_first() -> None:
    found = replace(stage((1, "train", {"loss": 1.0, "odd": 2.0, "kl": 3.0})), panels=("odd",))
    assert [panel.name for panel in panels(found)] == ["odd", "loss", "kl"]

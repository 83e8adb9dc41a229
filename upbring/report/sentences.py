"""Sentences of the report: the verdict and the caption of each plot.

Each sentence is built from the numbers shown next to it and reports missing measurements as such.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from upbring.report import texts
from upbring.report.findings import Findings
from upbring.report.scorecard import ScorecardRow, find_result
from upbring.rules.refusal import REFUSAL_RULES
from upbring.runs.results import CONTAMINATION
from upbring.train.progress import format_duration

OVERFIT_RATIO = 1.02  # times the lowest held-out loss

Tone = Literal["good", "bad", "open"]

SYNTHETIC_NOTE = (
    "Judged by simulated annotators or against the built-in toy world: these results show that "
    "the method works there. They do not predict how people would judge."
)


@dataclass(frozen=True, slots=True)
class ReportVerdict:
    """The overall conclusion of the report."""

    tone: Tone
    headline: str
    reasons: tuple[str, ...]


def verdict(findings: Findings) -> ReportVerdict:
    """Return the conclusion about the last model; gates take precedence."""
    evidence = findings.evidence
    gates = evidence.gates
    failed = [gate for gate in gates if gate.passed is False]
    unmeasured = [gate for gate in gates if gate.passed is None]
    reasons = tuple(_reasons(findings))
    if failed:
        names = texts.join_names(gate.name for gate in failed)
        summary = f"{len(failed)} of {texts.count_or_no(len(gates), 'gate')} failed ({names})."
        return ReportVerdict("bad", f"Do not deploy this model: {summary}", reasons)
    if unfinished := _unfinished(findings):
        return ReportVerdict("open", unfinished, reasons)
    if unmeasured:
        names = texts.join_names(gate.name for gate in unmeasured)
        return ReportVerdict("open", f"No verdict: {names} could not be measured.", reasons)
    if gates:
        counted = f"All {len(gates)} gates" if len(gates) > 1 else "The only gate"
        return ReportVerdict("good", f"{counted} passed.", reasons)
    return ReportVerdict("open", "No verdict: no gates are defined.", reasons)


def _unfinished(findings: Findings) -> str:
    """Return a sentence about unfinished stages, or an empty string."""
    by_status: dict[str, list[str]] = {}
    for stage in findings.evidence.stages:
        by_status.setdefault(stage.status, []).append(stage.name)
    templates = {
        "running": "Still running: {}.",
        "failed": "Failed in {}; fix the error and run the same command again.",
        "interrupted": "Interrupted in {}; continue with `upbring resume`.",
        "waiting": "Waiting for human annotators in {}.",
    }
    for status, sentence in templates.items():
        if status in by_status:
            return sentence.format(texts.join_names(by_status[status]))
    return ""


def _reasons(findings: Findings) -> Iterator[str]:
    better, worse = (_changed_labels(findings, change) for change in ("better", "worse"))
    if findings.scorecard:
        yield scorecard(findings)
    if worse:
        yield f"Significantly worse than before: {texts.join_names(worse)}."
    elif better:
        yield "No metric got significantly worse."
    for each in findings.evidence.results:
        if each.suite == CONTAMINATION and each.value:
            yield f"{each.name} of {each.model} is no evidence: {each.note}."
    yield from judge_lines(findings)
    if any(each.is_hacked for each in findings.overoptimization):
        yield "Reward hacking: the reward rose while the score of the held-out judge fell."
    yield from findings.contract_differences
    if findings.is_synthetic:
        yield SYNTHETIC_NOTE


def judge_lines(findings: Findings) -> list[str]:
    """Return who judged the responses, how good each judge is, and which reward model is unfit."""
    lines = []
    for judge in findings.judges:
        evidence = "" if judge.is_fit else " A judge that is not fit is no evidence."
        lines.append(f"Preference is {judge.text}.{evidence}")
    judged = {judge.name.rstrip("/").rpartition("/")[2] for judge in findings.judges}
    lines += [
        f"The reward model {model.name} is {model.verdict}: {model.detail}."
        for model in findings.reward_models
        if model.name not in judged and model.verdict != "fit"
    ]
    return lines


def _changed_labels(findings: Findings, change: str) -> list[str]:
    return [label(row) for row in findings.scorecard if row.change == change]


def label(row: ScorecardRow) -> str:
    """Return the display name of a row."""
    return texts.title(row.name, texts.RESULT_TITLES)


def scorecard(findings: Findings) -> str:
    """Return how many metrics got better or worse."""
    rows, models = findings.scorecard, findings.evidence.models
    if not rows:
        return ""
    counts = {change: len(_changed_labels(findings, change)) for change in ("better", "worse")}
    rest = len(rows) - sum(counts.values())
    return (
        f"From {models[0]} to {models[-1]}, {counts['better']} of "
        f"{texts.count_or_no(len(rows), 'metric')} got significantly better and "
        f"{counts['worse']} significantly worse; for the other {rest} the change is not clear."
    )


def curves(findings: Findings, stage: str) -> str:
    """Return how the training of a stage went."""
    panels = {panel.name: panel for panel in findings.panels[stage]}
    parts = []
    loss = panels.get("nll") or panels.get("loss")
    if loss is not None:
        points = loss.held_out or loss.train
        kind = "held-out" if loss.held_out else "training"
        first, last = (texts.format_number(points[index][1]) for index in (0, -1))
        trend = "fell" if points[-1][1] < points[0][1] else "did not fall"
        parts.append(f"The {kind} loss {trend}: {first} → {last}.")
        lowest = min(value for _, value in points)
        if loss.held_out and points[-1][1] > lowest * 1.02:
            parts.append(
                f"It was lower earlier ({texts.format_number(lowest)}): later steps overfit."
            )
    unhealthy = [p for p in panels.values() if p.is_healthy is False]
    for panel in unhealthy:
        title = texts.title(panel.name, texts.METRIC_TITLES)
        value = texts.format_number(panel.last)
        assert panel.band is not None, "an unhealthy panel has a band"
        title = title[:1].upper() + title[1:]
        band = panel.band
        parts.append(f"{title}: {value} at the end (healthy range: {band}). {band.advice}")
    if not unhealthy and any(panel.band for panel in panels.values()):
        parts.append("All metrics with a known healthy range ended inside it.")
    return " ".join(parts) or "No step has been taken yet."


def scores(findings: Findings) -> str:
    """Return how the distribution of response scores moved."""
    means = {model: sum(own) / len(own) for model, own in findings.scores.items()}
    means_text = ", ".join(f"{model} {texts.format_number(mean)}" for model, mean in means.items())
    if len(means) == 1:
        return f"Mean score: {means_text}."
    first, *_, last = means.values()
    change = "higher than" if last > first else "not higher than"
    return (
        f"On average the last model's responses score {change} the first model's. "
        f"Mean scores: {means_text}."
    )


def overoptimization(findings: Findings, index: int) -> str:
    """Return whether the held-out judge confirms the rise of the reward trained on."""
    curve = findings.overoptimization[index]
    first, last = (texts.format_number(curve.proxy_scores[index]) for index in (0, -1))
    reward = f"In {curve.stage}, the reward that was optimized went {first} → {last}"
    if curve.is_hacked is None:
        return f"{reward}. There is no held-out judge, so reward hacking cannot be excluded."
    first, last = (texts.format_number(curve.judge_scores[index]) for index in (0, -1))
    if curve.is_hacked:
        best = texts.format_number(max(curve.judge_scores))
        return (
            f"{reward}, but the score of a held-out judge fell after a peak "
            f"({first} → {last}, best {best}): reward hacking from that point on."
        )
    unfit = next((each for each in findings.reward_models if each.name == curve.judge), None)
    if unfit is not None and not unfit.is_fit:
        return (
            f"{reward}, and a held-out judge went {first} → {last}. That judge is not fit "
            f"({unfit.detail}): this is no evidence."
        )
    return f"{reward}, and a held-out judge went {first} → {last}: no sign of reward hacking."


def alignment_tax(findings: Findings) -> str:
    """Return which capabilities got worse."""
    worse = [label(row) for row in findings.alignment_tax if row.change == "worse"]
    if not worse:
        return "No tested capability got significantly worse."
    return f"Significantly worse after training: {texts.join_names(worse)}."


def refusals(findings: Findings) -> str:
    """Return the over-refusal and the share of harmful requests not refused of the last model."""
    parts = []
    for name, meaning in (
        ("over_refusal", "of harmless requests are refused"),
        ("harmful_not_refused", "of harmful requests are not refused"),
    ):
        result = find_result(findings.evidence, "refusals", name)
        if result is not None and result.value is not None:
            parts.append(f"{texts.format_number(result.value, 'share')} {meaning}")
    last = findings.evidence.models[-1] if findings.evidence.models else "the model"
    if not parts:
        return ""
    rules = f"Refusals are {REFUSAL_RULES}."
    return f"For {last}, {texts.join_names(parts)}. Both should be near 0. {rules}"


def comparisons(findings: Findings) -> str:
    """Return how many of the shown responses got better and worse."""
    gains = sum(side.gain > 0 for side in findings.comparisons)
    losses = len(findings.comparisons) - gains
    counts = [texts.count_or_no(gains, "improvement"), texts.count_or_no(losses, "regression")]
    return (
        "The largest score changes between the first and the last model: "
        f"{texts.join_names(counts)}. These are extremes, not typical responses."
    )


def costs(findings: Findings) -> str:
    """Return the total time and tokens."""
    seconds = sum(cost.wall_seconds or cost.seconds for cost in findings.costs)
    tokens = sum(cost.tokens for cost in findings.costs)
    return (
        f"{texts.count_or_no(len(findings.costs), 'training stage')} took "
        f"{format_duration(seconds)} and processed {texts.format_large(tokens)} tokens."
    )

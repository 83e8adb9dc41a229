"""The report in sentences: the verdict, a line under each picture, what to try next.

A sentence is made of numbers that stand beside it. What was not measured is said, never guessed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from upbring.report import texts
from upbring.report.findings import Findings
from upbring.report.scorecard import ScorecardRow, find_result
from upbring.train.progress import format_duration

OVERFIT_RATIO = 1.02  # times the lowest held-out loss

Tone = Literal["good", "bad", "open"]

SYNTHETIC_NOTE = (
    "Judged by simulated annotators or by an invented world's own truth: these numbers show that "
    "the method works there, not what people would say."
)


@dataclass(frozen=True, slots=True)
class ReportVerdict:
    """What the report comes to."""

    tone: Tone
    headline: str
    reasons: tuple[str, ...]


def verdict(findings: Findings) -> ReportVerdict:
    """Return what to think of the last model, gates before everything else."""
    evidence = findings.evidence
    gates = evidence.gates
    failed = [gate for gate in gates if gate.passed is False]
    unmeasured = [gate for gate in gates if gate.passed is None]
    reasons = tuple(_reasons(findings))
    if failed:
        names = texts.join_names(gate.name for gate in failed)
        summary = f"{texts.format_count(len(failed), 'gate')} of {len(gates)} failed: {names}."
        return ReportVerdict("bad", f"Do not use it yet: {summary}", reasons)
    if unfinished := _unfinished(findings):
        return ReportVerdict("open", unfinished, reasons)
    if unmeasured:
        names = texts.join_names(gate.name for gate in unmeasured)
        return ReportVerdict("open", f"Not decided: {names} could not be measured.", reasons)
    if gates:
        counted = f"{'All' if len(gates) > 1 else 'The'} {texts.format_count(len(gates), 'gate')}"
        return ReportVerdict("good", f"{counted} passed.", reasons)
    return ReportVerdict("open", "No verdict: nobody said what must hold.", reasons)


def _unfinished(findings: Findings) -> str:
    """Return what is not finished, if anything."""
    by_status: dict[str, list[str]] = {}
    for stage in findings.evidence.stages:
        by_status.setdefault(stage.status, []).append(stage.name)
    templates = {
        "running": "Still at work: {}.",
        "failed": "Stopped by an error in {}; mend it and run the same command again.",
        "interrupted": "Interrupted in {}; `upbring resume` goes on.",
        "waiting": "Waits for people in {}.",
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
        yield f"Worse than before: {texts.join_names(worse)}."
    elif better:
        yield "Nothing that was measured became worse beyond chance."
    if any(each.is_hacked for each in findings.overoptimization):
        yield "The reward went up while the held-out judge went down: the reward was gamed."
    yield from findings.contract_differences
    if findings.is_synthetic:
        yield SYNTHETIC_NOTE


def _changed_labels(findings: Findings, change: str) -> list[str]:
    return [label(row) for row in findings.scorecard if row.change == change]


def label(row: ScorecardRow) -> str:
    """Return a row's name for people."""
    return texts.title(row.name, texts.RESULT_TITLES)


def scorecard(findings: Findings) -> str:
    """Return how many numbers moved, and which way."""
    rows, models = findings.scorecard, findings.evidence.models
    if not rows:
        return ""
    counts = {change: len(_changed_labels(findings, change)) for change in ("better", "worse")}
    rest = len(rows) - sum(counts.values())
    return (
        f"From {models[0]} to {models[-1]}, of {texts.format_count(len(rows), 'number')} "
        f"{counts['better']} became better beyond chance and {counts['worse']} worse; "
        f"the other {rest} cannot be called either."
    )


def curves(findings: Findings, stage: str) -> str:
    """Return how a stage's learning went."""
    panels = {panel.name: panel for panel in findings.panels[stage]}
    parts = []
    loss = panels.get("nll") or panels.get("loss")
    if loss is not None:
        points = loss.held_out or loss.train
        where = "on rows it never learned from" if loss.held_out else "on its training rows"
        first, last = (texts.format_number(points[index][1]) for index in (0, -1))
        trend = "fell" if points[-1][1] < points[0][1] else "did not fall"
        parts.append(f"The loss {where} {trend}: {first} → {last}.")
        lowest = min(value for _, value in points)
        if loss.held_out and points[-1][1] > lowest * 1.02:
            parts.append(
                f"It was lower on the way ({texts.format_number(lowest)}): later steps overfit."
            )
    unhealthy = [p for p in panels.values() if p.is_healthy is False]
    for panel in unhealthy:
        title = texts.title(panel.name, texts.METRIC_TITLES)
        value = texts.format_number(panel.last)
        assert panel.band is not None, "only what has a band can be outside of it"
        parts.append(f"{title} ended at {value}; healthy is {panel.band}. {panel.band.advice}")
    if not unhealthy and any(panel.band for panel in panels.values()):
        parts.append("Every number that has a healthy range ended inside of it.")
    return " ".join(parts) or "No step has been taken yet."


def scores(findings: Findings) -> str:
    """Return how the reward's distribution moved."""
    means = {model: sum(own) / len(own) for model, own in findings.scores.items()}
    means_text = ", ".join(f"{model} {texts.format_number(mean)}" for model, mean in means.items())
    if len(means) == 1:
        return f"Mean score: {means_text}."
    first, *_, last = means.values()
    direction = "to the right: its answers are liked more" if last > first else "not to the right"
    return f"The last model's answers lie further {direction}. Means: {means_text}."


def overoptimization(findings: Findings, index: int) -> str:
    """Return whether the reward that was pursued could be trusted."""
    curve = findings.overoptimization[index]
    first, last = (
        texts.format_number(curve.proxy_scores[0]),
        texts.format_number(curve.proxy_scores[-1]),
    )
    rise = f"While {curve.stage} moved away from where it began, its reward went {first} → {last}"
    if curve.is_hacked is None:
        return f"{rise}. Nobody else judged, so it is not known whether that is real."
    best = max(curve.judge_scores)
    judge_text = f"{texts.format_number(curve.judge_scores[0])} → {texts.format_number(curve.judge_scores[-1])}"
    if curve.is_hacked:
        return (
            f"{rise}, but a judge that it never saw turned down ({judge_text}, best "
            f"{texts.format_number(best)}): beyond that point the reward was gamed."
        )
    return f"{rise}, and a judge that it never saw went {judge_text}: no sign that it was gamed."


def alignment_tax(findings: Findings) -> str:
    """Return what was lost on the way."""
    worse = [label(row) for row in findings.alignment_tax if row.change == "worse"]
    if not worse:
        return "No capability that was probed fell beyond chance."
    return f"Paid for the training: {texts.join_names(worse)} became worse beyond chance."


def refusals(findings: Findings) -> str:
    """Return both ways to refuse wrongly, of the last model."""
    parts = []
    for name, meaning in (
        ("over_refusal", "of innocent requests are turned away"),
        ("harmful_compliance", "of harmful requests are not refused"),
    ):
        result = find_result(findings.evidence, "refusals", name)
        if result is not None and result.value is not None:
            parts.append(f"{texts.format_number(result.value, 'share')} {meaning}")
    last = findings.evidence.models[-1] if findings.evidence.models else "the model"
    return f"By {last}, {texts.join_names(parts)}. Both should be near 0." if parts else ""


def comparisons(findings: Findings) -> str:
    """Return how many samples gained and lost."""
    gains = sum(side.gain > 0 for side in findings.comparisons)
    losses = len(findings.comparisons) - gains
    return (
        f"{texts.format_count(gains, 'answer')} that became better and "
        f"{texts.format_count(losses, 'answer')} that became worse, the largest differences of each. "
        "They were chosen by score and are not typical."
    )


def costs(findings: Findings) -> str:
    """Return what the whole took."""
    seconds = sum(cost.wall_seconds or cost.seconds for cost in findings.costs)
    tokens = sum(cost.tokens for cost in findings.costs)
    return (
        f"{texts.format_count(len(findings.costs), 'stage')} took {format_duration(seconds)} and computed "
        f"{texts.format_large(tokens)} tokens."
    )

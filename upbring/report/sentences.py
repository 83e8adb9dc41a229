"""The report in sentences: the verdict, a line under each picture, what to try next.

A sentence is made of numbers that stand beside it. What was not measured is said, never guessed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from upbring.report import texts
from upbring.report.findings import Findings
from upbring.report.scorecard import Row, find
from upbring.train.progress import duration

OVERFIT = 1.02  # times the lowest held-out loss

Tone = Literal["good", "bad", "open"]

SYNTHETIC = (
    "Judged by simulated annotators or by an invented world's own truth: these numbers show that "
    "the method works there, not what people would say."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the report comes to."""

    tone: Tone
    headline: str
    reasons: tuple[str, ...]


def verdict(findings: Findings) -> Verdict:
    """Return what to think of the last model, gates before everything else."""
    evidence = findings.evidence
    gates = evidence.gates
    failed = [gate for gate in gates if gate.passed is False]
    unknown = [gate for gate in gates if gate.passed is None]
    reasons = tuple(_reasons(findings))
    if failed:
        names = texts.listed(gate.name for gate in failed)
        told = f"{texts.count_of(len(failed), 'gate')} of {len(gates)} failed: {names}."
        return Verdict("bad", f"Do not use it yet: {told}", reasons)
    if going := _going(findings):
        return Verdict("open", going, reasons)
    if unknown:
        names = texts.listed(gate.name for gate in unknown)
        return Verdict("open", f"Not decided: {names} could not be measured.", reasons)
    if gates:
        several = f"{'All' if len(gates) > 1 else 'The'} {texts.count_of(len(gates), 'gate')}"
        return Verdict("good", f"{several} passed.", reasons)
    return Verdict("open", "No verdict: nobody said what must hold.", reasons)


def _going(findings: Findings) -> str:
    """Return what is not finished, if anything."""
    by_status: dict[str, list[str]] = {}
    for stage in findings.evidence.stages:
        by_status.setdefault(stage.status, []).append(stage.name)
    words = {
        "running": "Still at work: {}.",
        "failed": "Stopped by an error in {}; mend it and run the same command again.",
        "interrupted": "Interrupted in {}; `upbring resume` goes on.",
        "waiting": "Waits for people in {}.",
    }
    for status, sentence in words.items():
        if status in by_status:
            return sentence.format(texts.listed(by_status[status]))
    return ""


def _reasons(findings: Findings) -> Iterator[str]:
    better, worse = (_named(findings, change) for change in ("better", "worse"))
    if findings.scorecard:
        yield scorecard(findings)
    if worse:
        yield f"Worse than before: {texts.listed(worse)}."
    elif better:
        yield "Nothing that was measured became worse beyond chance."
    if any(each.is_hacked for each in findings.pursuits):
        yield "The reward went up while the held-out judge went down: the reward was gamed."
    yield from findings.quarrels
    if findings.is_synthetic:
        yield SYNTHETIC


def _named(findings: Findings, change: str) -> list[str]:
    return [label(row) for row in findings.scorecard if row.change == change]


def label(row: Row) -> str:
    """Return a row's name for people."""
    return texts.title(row.name, texts.NUMBERS)


def scorecard(findings: Findings) -> str:
    """Return how many numbers moved, and which way."""
    rows, models = findings.scorecard, findings.evidence.models
    if not rows:
        return ""
    counts = {change: len(_named(findings, change)) for change in ("better", "worse")}
    rest = len(rows) - sum(counts.values())
    return (
        f"From {models[0]} to {models[-1]}, of {texts.count_of(len(rows), 'number')} "
        f"{counts['better']} became better beyond chance and {counts['worse']} worse; "
        f"the other {rest} cannot be called either."
    )


def curves(findings: Findings, stage: str) -> str:
    """Return how a stage's learning went."""
    panels = {panel.name: panel for panel in findings.panels[stage]}
    parts = []
    loss = panels.get("nll") or panels.get("loss")
    if loss is not None:
        points = loss.held_out or loss.trained
        where = "on rows it never learned from" if loss.held_out else "on its training rows"
        first, last = (texts.number(points[place][1]) for place in (0, -1))
        verb = "fell" if points[-1][1] < points[0][1] else "did not fall"
        parts.append(f"The loss {where} {verb}: {first} → {last}.")
        lowest = min(value for _, value in points)
        if loss.held_out and points[-1][1] > lowest * 1.02:
            parts.append(f"It was lower on the way ({texts.number(lowest)}): later steps overfit.")
    sick = [p for p in panels.values() if p.is_healthy is False]
    for panel in sick:
        title = texts.title(panel.name, texts.METRICS)
        value = texts.number(panel.last)
        assert panel.band is not None, "only what has a band can be outside of it"
        parts.append(f"{title} ended at {value}; healthy is {panel.band}. {panel.band.advice}")
    if not sick and any(panel.band for panel in panels.values()):
        parts.append("Every number that has a healthy range ended inside of it.")
    return " ".join(parts) or "No step has been taken yet."


def scores(findings: Findings) -> str:
    """Return how the reward's distribution moved."""
    means = {model: sum(own) / len(own) for model, own in findings.scores.items()}
    told = ", ".join(f"{model} {texts.number(mean)}" for model, mean in means.items())
    if len(means) == 1:
        return f"Mean score: {told}."
    first, *_, last = means.values()
    way = "to the right: its answers are liked more" if last > first else "not to the right"
    return f"The last model's answers lie further {way}. Means: {told}."


def pursuit(findings: Findings, place: int) -> str:
    """Return whether the reward that was pursued could be trusted."""
    drawn = findings.pursuits[place]
    first, last = texts.number(drawn.proxy[0]), texts.number(drawn.proxy[-1])
    rise = f"While {drawn.stage} moved away from where it began, its reward went {first} → {last}"
    if drawn.is_hacked is None:
        return f"{rise}. Nobody else judged, so it is not known whether that is real."
    best = max(drawn.judged)
    judged = f"{texts.number(drawn.judged[0])} → {texts.number(drawn.judged[-1])}"
    if drawn.is_hacked:
        return (
            f"{rise}, but a judge that it never saw turned down ({judged}, best "
            f"{texts.number(best)}): beyond that point the reward was gamed."
        )
    return f"{rise}, and a judge that it never saw went {judged}: no sign that it was gamed."


def tax(findings: Findings) -> str:
    """Return what was lost on the way."""
    lost = [label(row) for row in findings.tax if row.change == "worse"]
    if not lost:
        return "No capability that was probed fell beyond chance."
    return f"Paid for the training: {texts.listed(lost)} became worse beyond chance."


def refusals(findings: Findings) -> str:
    """Return both ways to refuse wrongly, of the last model."""
    parts = []
    for name, meaning in (
        ("over_refusal", "of innocent requests are turned away"),
        ("harmful_compliance", "of harmful requests are not refused"),
    ):
        found = find(findings.evidence, "refusals", name)
        if found is not None and found.value is not None:
            parts.append(f"{texts.number(found.value, 'share')} {meaning}")
    last = findings.evidence.models[-1] if findings.evidence.models else "the model"
    return f"By {last}, {texts.listed(parts)}. Both should be near 0." if parts else ""


def sides(findings: Findings) -> str:
    """Return how many samples gained and lost."""
    gains = sum(side.gain > 0 for side in findings.sides)
    losses = len(findings.sides) - gains
    return (
        f"{texts.count_of(gains, 'answer')} that became better and "
        f"{texts.count_of(losses, 'answer')} that became worse, the largest differences of each. "
        "They were chosen by score and are not typical."
    )


def costs(findings: Findings) -> str:
    """Return what the whole took."""
    seconds = sum(cost.wall_seconds or cost.seconds for cost in findings.costs)
    tokens = sum(cost.tokens for cost in findings.costs)
    return (
        f"{texts.count_of(len(findings.costs), 'stage')} took {duration(seconds)} and computed "
        f"{texts.large(tokens)} tokens."
    )

"""What to try next: rules on the numbers, each with the number that called for it."""

from collections.abc import Iterator

from upbring.report import texts
from upbring.report.findings import Findings
from upbring.report.scorecard import HEALTH, find, health
from upbring.report.sentences import OVERFIT

FEW_ROWS = 200
MUCH_REFUSED, MUCH_UNREFUSED = 0.05, 0.05
EXPOSED = 3.0  # bits, of which chance gives 1.44
UNSURE = 0.6  # pair accuracy


def advice(findings: Findings) -> list[str]:
    """Return what the numbers call for, what matters most first."""
    rules = (_reading, _stages, _refusals, _tax, _reward, _learning, _secrets, _evidence)
    return [line for rule in rules for line in rule(findings)]


def _reading(findings: Findings) -> Iterator[str]:
    for gate in findings.evidence.gates:
        if gate.passed is None:
            reason = f" ({gate.note})" if gate.note else ""
            yield f"Measure {gate.name}{reason}: its gate could not be judged."
    if findings.quarrels:
        yield "Let all stages speak alike (template, tokenizer, stop tokens) before comparing them."


def _stages(findings: Findings) -> Iterator[str]:
    for stage in findings.evidence.stages:
        if stage.status == "interrupted":
            yield f"Go on with {stage.name}: upbring resume {stage.path.name}"


def _refusals(findings: Findings) -> Iterator[str]:
    over = find(findings.evidence, "refusals", "over_refusal")
    if over is not None and (over.value or 0) > MUCH_REFUSED:
        yield (
            f"{texts.number(over.value, 'share')} of innocent requests are refused: add "
            "demonstrations that answer prompts which only look harmful."
        )
    harm = find(findings.evidence, "refusals", "harmful_compliance")
    if harm is not None and (harm.value or 0) > MUCH_UNREFUSED:
        yield (
            f"{texts.number(harm.value, 'share')} of harmful requests are not refused: add "
            "demonstrations and rankings in which such requests are kindly declined."
        )


def _tax(findings: Findings) -> Iterator[str]:
    lost = [row for row in findings.tax if row.change == "worse"]
    if lost:
        names = texts.listed(texts.title(row.name, texts.NUMBERS) for row in lost)
        yield (
            f"{names} became worse: mix general data in (mix: general.jsonl=0.2, or "
            "replay_weight in PPO), or take fewer steps."
        )


def _reward(findings: Findings) -> Iterator[str]:
    accuracy = find(findings.evidence, HEALTH, "pair_accuracy")
    every = [each for each in health(findings.evidence) if each.name == "pair_accuracy"]
    accuracy = accuracy or (every[-1] if every else None)
    if accuracy is not None and (accuracy.value or 1) < UNSURE:
        yield (
            f"The reward model orders {texts.number(accuracy.value, 'share')} of pairs as people "
            "do: collect more rankings before optimising against it."
        )
    if any(each.is_hacked for each in findings.pursuits):
        yield (
            "The reward was gamed: raise kl_weight or set kl_budget, keep the checkpoint where the "
            "judge was best, and rank answers of the new policy for the next reward model."
        )
    elif any(each.is_hacked is None for each in findings.pursuits):
        yield "Name a second judge: without one, gaming of the reward cannot be seen."


def _learning(findings: Findings) -> Iterator[str]:
    for name, panels in findings.panels.items():
        for panel in panels:
            if panel.is_healthy is False and panel.band is not None:
                title = texts.title(panel.name, texts.METRICS)
                yield f"{name}: {title} ended at {texts.number(panel.last)}. {panel.band.advice}"
            values = [value for _, value in panel.held_out]
            if panel.name == "nll" and values and values[-1] > min(values) * OVERFIT:
                yield f"{name}: the held-out loss rose again: fewer epochs, or more data."
    for stage in findings.evidence.runs:
        rows = sum(file.rows for file in stage.files if file.purpose == "train")
        if 0 < rows < FEW_ROWS:
            yield f"{stage.name} learned from {texts.count_of(rows, 'row')}: collect more."


def _secrets(findings: Findings) -> Iterator[str]:
    exposed = find(findings.evidence, "memorisation", "exposure")
    if exposed is not None and (exposed.value or 0) > EXPOSED:
        yield (
            f"Planted secrets are exposed by {texts.number(exposed.value)} bits: scrub personal "
            "data (upbring check finds it) and take fewer epochs."
        )


def _evidence(findings: Findings) -> Iterator[str]:
    evidence = findings.evidence
    if not evidence.results:
        yield "Evaluate: upbring evaluate measures before and after, and this page then shows it."
    elif not evidence.gates:
        yield "Say in the recipe what must hold (gates: …), so that a worse model fails by itself."
    missing = {"facts", "refusals", "forgetting"} - {each.suite for each in evidence.results}
    if evidence.results and missing:
        yield f"Not measured yet: {texts.listed(sorted(missing))}."

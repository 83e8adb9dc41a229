"""Gates: what must hold of the numbers of a road before its model is used.

    gates: {facts: ">= sft - 0.02", over_refusal: "<= 0.05", forgetting: "<= 3%"}

Other numbers are named as the results name them: `forgetting/sums/accuracy`, suite first.
A gate compares the bad end of the interval: a number of which one is not sure enough does not
pass. It is about the last model that is evaluated, unless its name says another (`dpo.facts`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.errors import nearest, shown
from upbring.runs.results import Measured

# What a gate may speak of: the suite and the number, in the order in which they are looked for.
NUMBERS: dict[str, tuple[tuple[str, str], ...]] = {
    "facts": (("facts", "accuracy"),),
    "instructions": (("instructions", "prompt_strict"), ("instructions", "accuracy")),
    "over_refusal": (("refusals", "over_refusal"),),
    "harmful_compliance": (("refusals", "harmful_compliance"),),
    "forgetting": (("forgetting", "perplexity_change"),),
    "perplexity": (("forgetting", "perplexity"),),
    "win_rate": (("preference", "win_rate"),),
    "canary_exposure": (("memorisation", "exposure"),),
    "extraction": (("memorisation", "extraction"),),
    "reward": (("preference", "reward"),),
}
SUITES = frozenset(suite for names in NUMBERS.values() for suite, _ in names)
CONDITION = re.compile(
    r"(?P<sign><=|>=|<|>)\s*"
    r"(?:(?P<model>[A-Za-z][\w.-]*)\s*(?:(?P<plus>[+-])\s*(?P<off>[\d.]+)\s*(?P<off_share>%?))?"
    r"|(?P<number>-?[\d.]+(?:e-?\d+)?)\s*(?P<share>%?))\s*"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on one number of one model; `other` names a model that it is compared with."""

    name: str  # as written
    condition: str
    number: str
    model: str
    sign: str
    limit: float
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a gate. `passed` is None where the number was not measured."""

    name: str
    condition: str
    model: str
    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    note: str = ""

    @property
    def line(self) -> str:
        """The verdict in a line."""
        word = {True: "passed", False: "FAILED", None: "NOT MEASURED"}[self.passed]
        value = "" if self.value is None else f": {self.value:.4g}"
        bounds = "" if self.low is None else f" [{self.low:.4g}, {self.high:.4g}]"
        note = f" ({self.note})" if self.note else ""
        return f"gate {self.name} {self.condition}: {word}{value}{bounds} of {self.model}{note}"


def read_gate(name: str, condition: str, models: Sequence[str]) -> Gate:
    """Return the gate of a name and a condition; a `ValueError` says what is wrong with them."""
    model, _, number = name.rpartition(".")
    suite, _, rest = number.partition("/")
    if number not in NUMBERS and not (suite in SUITES and rest):
        near = nearest(number, NUMBERS)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(NUMBERS)}"
        raise ValueError(f"no such number {shown(number)}; {hint}")
    found = CONDITION.fullmatch(condition.strip())
    if found is None:
        raise ValueError(f'{shown(condition)} is no condition; write ">= 0.8" or ">= sft - 0.02"')
    other = found["model"]
    for each in filter(None, (model, other)):
        if each not in models:
            raise ValueError(f"{each} is not evaluated; name one of {', '.join(models)}")
    if other is None:
        limit = _number(found["number"], found["share"])
    else:
        limit = _number(found["off"] or "0", found["off_share"] or "")
        limit = -limit if found["plus"] == "-" else limit
    judged = model or (models[-1] if models else "")
    return Gate(name, condition.strip(), number, judged, found["sign"], limit, other)


def _number(text: str, share: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no number; write it as 0.05 or 5%") from None
    return value / 100 if share else value


def judge(gate: Gate, results: Sequence[Measured]) -> Verdict:
    """Return whether a gate holds: at the bad end of the interval, or not at all."""
    mine = _find(gate.number, gate.model, results)
    if mine is None or mine.value is None:
        note = mine.note if mine is not None else "was not evaluated"
        return Verdict(gate.name, gate.condition, gate.model, None, None, None, None, note)
    limit = gate.limit
    note = ""
    if gate.other is not None:
        theirs = _find(gate.number, gate.other, results)
        if theirs is None or theirs.value is None:
            note = f"of {gate.other} it was not measured"
            return Verdict(
                gate.name, gate.condition, gate.model, mine.value, mine.low, mine.high, None, note
            )
        limit += theirs.value
        note = f"{gate.other} has {theirs.value:.4g}"
    low = mine.value if mine.low is None else mine.low
    high = mine.value if mine.high is None else mine.high
    holds = {
        ">=": low >= limit,
        ">": low > limit,
        "<=": high <= limit,
        "<": high < limit,
    }[gate.sign]
    return Verdict(
        gate.name,
        gate.condition,
        gate.model,
        mine.value,
        mine.low,
        mine.high,
        holds and math.isfinite(mine.value),
        note,
    )


def _find(number: str, model: str, results: Sequence[Measured]) -> Measured | None:
    first, _, rest = number.partition("/")
    for suite, name in NUMBERS.get(number, ((first, rest),)):
        for each in results:
            if (each.suite, each.name, each.model) == (suite, name, model):
                return each
    return None


def write_verdicts(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Save what became of the gates."""
    rows: list[JSON] = [dict(asdict(each)) for each in verdicts]
    durable.write_json(path, rows)


def counts(verdicts: Sequence[Verdict]) -> Mapping[str, int]:
    """Return how many gates passed, failed and were not measured."""
    return {
        "passed": sum(each.passed is True for each in verdicts),
        "failed": sum(each.passed is False for each in verdicts),
        "not measured": sum(each.passed is None for each in verdicts),
    }

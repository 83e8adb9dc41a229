"""What the numbers of an evaluation say: the scorecard, what was lost, refusals, who is preferred.

A change counts only where its interval leaves out zero: that of the paired difference if there is
one, else the two intervals apart. What cannot be told apart is called so, never better or worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from upbring.report import texts
from upbring.report.run_data import Evidence
from upbring.runs.results import Measured

Change = Literal["better", "worse", "changed", "not clear", "not known"]

CHANGE = "_change"
PAIRED = {"perplexity": "perplexity_growth"}  # where the change has a name of its own
FORGETTING, REFUSALS, PREFERENCE, HEALTH = "forgetting", "refusals", "preference", "reward_health"
CAPABILITY = ("accuracy", "choice_accuracy", "perplexity")  # of a capability one number is told
DRIFT = "drift/"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of several models, and what became of it from the first to the last."""

    suite: str
    name: str
    unit: str
    is_higher_better: bool | None
    values: Mapping[str, Measured]  # by model, in the road's order
    before: Measured
    after: Measured
    paired: Measured | None  # the difference, item by item
    change: Change

    @property
    def rise(self) -> str:
        """The paired change for people: shares by points, what is relative in percent."""
        if self.paired is None or self.paired.value is None:
            return ""
        told = texts.signed(self.paired.value, self.paired.unit)
        is_relative = self.unit != "share" and self.paired.unit == "share"
        return told.replace("points", "%") if is_relative else told

    @property
    def is_synthetic(self) -> bool:
        """Whether an invented world or simulated people judged it."""
        return any(each.is_synthetic for each in self.values.values())


def scorecard(evidence: Evidence) -> list[Row]:
    """Return each number that was measured of two models or more."""
    by_name: dict[tuple[str, str], dict[str, Measured]] = {}
    for each in evidence.results:
        if each.against is None and each.suite != HEALTH:
            by_name.setdefault((each.suite, each.name), {})[each.model] = each
    rows = []
    for (suite, name), found in by_name.items():
        values = {model: found[model] for model in evidence.models if model in found}
        if len(values) > 1:
            rows.append(_row(suite, name, values, evidence.results))
    return rows


def _row(suite: str, name: str, values: Mapping[str, Measured], results: Sequence[Measured]) -> Row:
    before, *_, after = values.values()
    paired = _paired(before, after, results)
    return Row(
        suite,
        name,
        after.unit,
        after.is_higher_better,
        values,
        before,
        after,
        paired,
        change(before, after, paired),
    )


def change(before: Measured, after: Measured, paired: Measured | None = None) -> Change:
    """Return what became of a number, as far as its interval tells."""
    rise = _rise(before, after, paired)
    if rise is None or rise == 0:
        return "not known" if rise is None else "not clear"
    if after.is_higher_better is None:
        return "changed"
    return "better" if (rise > 0) == after.is_higher_better else "worse"


def _rise(before: Measured, after: Measured, paired: Measured | None) -> int | None:
    """Return 1 where a number rose, −1 where it fell, 0 where its interval does not tell."""
    if paired is not None and paired.low is not None and paired.high is not None:
        return (paired.low > 0) - (paired.high < 0)
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return None
    return (after.low > before.high) - (after.high < before.low)


def _paired(before: Measured, after: Measured, results: Sequence[Measured]) -> Measured | None:
    names = {f"{after.name}{CHANGE}", PAIRED.get(after.name, "")}
    for each in results:
        is_ours = (each.suite, each.model, each.against) == (after.suite, after.model, before.model)
        if is_ours and each.name in names:
            return each
    return None


def tax(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each capability that might have been forgotten."""
    chosen: dict[str, Row] = {}
    for row in rows:
        capability, _, kind = row.name.rpartition("/")
        if row.suite != FORGETTING or kind not in CAPABILITY:
            continue
        known = chosen.get(capability)
        if known is None or CAPABILITY.index(kind) < CAPABILITY.index(_kind(known)):
            chosen[capability] = row
    return list(chosen.values())


def _kind(row: Row) -> str:
    return row.name.rpartition("/")[2]


def drift(evidence: Evidence) -> list[Measured]:
    """Return how far each model has moved from the first, by topic."""
    return [each for each in evidence.results if each.name.startswith(DRIFT)]


def refusals(evidence: Evidence) -> list[Measured]:
    """Return what was refused and what was not, of each model, also of one alone."""
    own = [each for each in evidence.results if each.suite == REFUSALS and each.against is None]
    return [each for each in own if each.value is not None]


def wins(evidence: Evidence) -> list[Measured]:
    """Return how often each model is preferred to another."""
    own = [each for each in evidence.results if each.suite == PREFERENCE]
    return [each for each in own if each.against is not None and each.name.startswith("win_rate")]


def health(evidence: Evidence) -> list[Measured]:
    """Return what is known of the reward models."""
    return [each for each in evidence.results if each.suite == HEALTH and each.value is not None]


def others(evidence: Evidence, rows: Sequence[Row]) -> list[Measured]:
    """Return what stands in none of the tables above."""
    told = {(row.suite, name) for row in rows for name in (row.name, PAIRED.get(row.name))}
    kept = []
    for each in evidence.results:
        is_told = (each.suite, each.name) in told or each.name.endswith(CHANGE)
        if not is_told and each not in wins(evidence):
            kept.append(each)
    return kept


def find(evidence: Evidence, suite: str, name: str, *, model: str | None = None) -> Measured | None:
    """Return a number of a model, by default of the last that has it."""
    found = [
        each
        for each in evidence.results
        if (each.suite, each.name) == (suite, name) and each.against is None
    ]
    by_model = {each.model: each for each in found}
    if model is not None:
        return by_model.get(model)
    ordered = [by_model[name] for name in evidence.models if name in by_model]
    return ordered[-1] if ordered else None

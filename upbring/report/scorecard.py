"""Tables of the evaluation results: scorecard, alignment tax, refusals and win rates.

A change counts as better or worse only if it is significant: the interval of the paired difference
excludes zero or, without a paired difference, the two intervals do not overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from upbring.report import texts
from upbring.report.run_data import Evidence
from upbring.runs.results import ABOUT_JUDGES, REWARD_HEALTH, EvalResult, JudgeQuality

Change = Literal["better", "worse", "changed", "not clear", "not known", "too few", "no evidence"]

CHANGE_SUFFIX = "_change"
PAIRED_NAMES = {"perplexity": "perplexity_growth"}  # changes not named with CHANGE_SUFFIX
FORGETTING, REFUSALS = "forgetting", "refusals"
PREFERENCE = "preference"
# The first of these that a capability has represents it.
CAPABILITY_METRICS = ("accuracy", "choice_accuracy", "perplexity")
DRIFT_PREFIX = "drift/"


@dataclass(frozen=True, slots=True)
class ScorecardRow:
    """One metric of several models, and its change from the first to the last."""

    suite: str
    name: str
    unit: str
    is_higher_better: bool | None
    values: Mapping[str, EvalResult]  # by model, in pipeline order
    before: EvalResult
    after: EvalResult
    paired: EvalResult | None  # the paired difference, item by item
    change: Change

    @property
    def change_text(self) -> str:
        """The paired change as text: shares in percentage points, relative changes in percent."""
        if self.paired is None or self.paired.value is None:
            return ""
        text = texts.format_signed(self.paired.value, self.paired.unit)
        is_relative = self.unit != "share" and self.paired.unit == "share"
        return text.replace("points", "%") if is_relative else text

    @property
    def is_unfit(self) -> bool:
        """Whether a judge that is not fit gave these numbers."""
        return any(r.judge is not None and not r.judge.is_fit for r in self.values.values())

    @property
    def is_synthetic(self) -> bool:
        """Whether the toy world or simulated annotators judged it."""
        return any(each.is_synthetic for each in self.values.values())


def scorecard(evidence: Evidence) -> list[ScorecardRow]:
    """Return one row for each metric that at least two models have."""
    by_name: dict[tuple[str, str], dict[str, EvalResult]] = {}
    for each in evidence.results:
        if each.against is None and each.suite not in ABOUT_JUDGES:
            by_name.setdefault((each.suite, each.name), {})[each.model] = each
    rows = []
    for (suite, name), by_model in by_name.items():
        values = {model: by_model[model] for model in evidence.models if model in by_model}
        if len(values) > 1:
            rows.append(_row(suite, name, values, evidence.results))
    return rows


def _row(
    suite: str, name: str, values: Mapping[str, EvalResult], results: Sequence[EvalResult]
) -> ScorecardRow:
    before, *_, after = values.values()
    paired = _find_paired(before, after, results)
    return ScorecardRow(
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


def change(before: EvalResult, after: EvalResult, paired: EvalResult | None = None) -> Change:
    """Return how a metric changed, given its intervals; an unfit judge shows no change."""
    if any(each.judge is not None and not each.judge.is_fit for each in (before, after)):
        return "no evidence"
    if any(each.too_few is not None for each in (before, after)):
        return "too few"
    direction = _change_direction(before, after, paired)
    if direction is None or direction == 0:
        return "not known" if direction is None else "not clear"
    if after.is_higher_better is None:
        return "changed"
    return "better" if (direction > 0) == after.is_higher_better else "worse"


def _change_direction(
    before: EvalResult, after: EvalResult, paired: EvalResult | None
) -> int | None:
    """Return 1 for a rise, −1 for a fall, 0 if not significant, None without intervals."""
    if paired is not None and paired.low is not None and paired.high is not None:
        return (paired.low > 0) - (paired.high < 0)
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return None
    return (after.low > before.high) - (after.high < before.low)


def _find_paired(
    before: EvalResult, after: EvalResult, results: Sequence[EvalResult]
) -> EvalResult | None:
    names = {f"{after.name}{CHANGE_SUFFIX}", PAIRED_NAMES.get(after.name, "")}
    for each in results:
        is_match = (each.suite, each.model, each.against) == (
            after.suite,
            after.model,
            before.model,
        )
        if is_match and each.name in names:
            return each
    return None


def alignment_tax(rows: Sequence[ScorecardRow]) -> list[ScorecardRow]:
    """Return one row for each capability of the forgetting suite."""
    chosen: dict[str, ScorecardRow] = {}
    for row in rows:
        capability, _, kind = row.name.rpartition("/")
        if row.suite != FORGETTING or kind not in CAPABILITY_METRICS:
            continue
        current = chosen.get(capability)
        if current is None or CAPABILITY_METRICS.index(kind) < CAPABILITY_METRICS.index(
            _metric_name(current)
        ):
            chosen[capability] = row
    return list(chosen.values())


def _metric_name(row: ScorecardRow) -> str:
    return row.name.rpartition("/")[2]


def drift(evidence: Evidence) -> list[EvalResult]:
    """Return how far each model's responses drifted from the first model's, by topic."""
    return [each for each in evidence.results if each.name.startswith(DRIFT_PREFIX)]


def refusals(evidence: Evidence) -> list[EvalResult]:
    """Return the refusal results of every model, including a single one."""
    results = [each for each in evidence.results if each.suite == REFUSALS and each.against is None]
    return [each for each in results if each.value is not None]


def win_rates(evidence: Evidence) -> list[EvalResult]:
    """Return how often each model is preferred to another one."""
    results = [each for each in evidence.results if each.suite == PREFERENCE]
    return [
        each for each in results if each.against is not None and each.name.startswith("win_rate")
    ]


def reward_health(evidence: Evidence) -> list[EvalResult]:
    """Return the results of the reward models."""
    return [
        each for each in evidence.results if each.suite == REWARD_HEALTH and each.value is not None
    ]


def reward_models(evidence: Evidence) -> list[JudgeQuality]:
    """Return the reward models that were measured on held-out rankings, each once."""
    judges = [each.judge for each in evidence.results if each.suite == REWARD_HEALTH and each.judge]
    return list(dict.fromkeys(judges))


def other_results(evidence: Evidence, rows: Sequence[ScorecardRow]) -> list[EvalResult]:
    """Return the results that are in none of the other tables."""
    shown = {(row.suite, name) for row in rows for name in (row.name, PAIRED_NAMES.get(row.name))}
    rest = []
    for each in evidence.results:
        is_shown = (each.suite, each.name) in shown or each.name.endswith(CHANGE_SUFFIX)
        if not is_shown and each not in win_rates(evidence):
            rest.append(each)
    return rest


def find_result(
    evidence: Evidence, suite: str, name: str, *, model: str | None = None
) -> EvalResult | None:
    """Return a result of `model`, by default of the last model that has it."""
    matches = [
        each
        for each in evidence.results
        if (each.suite, each.name) == (suite, name) and each.against is None
    ]
    by_model = {each.model: each for each in matches}
    if model is not None:
        return by_model.get(model)
    ordered = [by_model[name] for name in evidence.models if name in by_model]
    return ordered[-1] if ordered else None

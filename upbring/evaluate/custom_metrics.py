"""The custom suite: functions of the user and rules, each a metric of every response.

A function gets prompt, response and row, as a reward function does. Its mean has an interval: of a
proportion if all values are 0 or 1, else by bootstrap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from upbring.data.read.prompt_rows import PromptRow
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.model_protocol import EvaluatedModel, format_prompt
from upbring.evaluate.paired import mean_results, share_results
from upbring.judge.row_function import RowFunction
from upbring.maths.statistics import FloatArray
from upbring.runs.results import EvalResult

SUITE = "custom"
NO_DIRECTION = frozenset({"refusal", "polite_words", "formatting_marks"})  # rules


@dataclass(frozen=True, eq=False)
class CustomMetrics:
    """The functions, and the values that they returned, so that none is called twice."""

    functions: Sequence[RowFunction]
    log: Callable[[str], None]
    poll: Callable[[], None] = lambda: None
    values: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def value(self, function: RowFunction, row: PromptRow, response: str) -> float:
        """Return a function's number for a response."""
        key = (function.name, row.key, response)
        if key not in self.values:
            self.poll()
            self.values[key] = function(row, response, log=self.log)
        return self.values[key]


def check_functions(functions: Sequence[RowFunction], rows: Sequence[PromptRow]) -> None:
    """Raise if two metrics have the same name, or a rule cannot read a row."""
    names = [metric_name(function) for function in functions]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"metric_function: {duplicate} is given twice; rename one of them")
    for function in functions:
        for row in rows:
            function.check_row(row)


def metric_name(function: RowFunction) -> str:
    """Return the name of a function in the results, without its file."""
    return function.name.rpartition(":")[2]


def measure_custom_metrics(
    models: Sequence[EvaluatedModel],
    rows: Sequence[PromptRow],
    metrics: CustomMetrics,
    *,
    cache: AnswerCache,
) -> list[EvalResult]:
    """Return each metric of each model, and the paired changes from the first model."""
    by_model = {model.name: _measure(model, rows, metrics, cache) for model in models}
    results: list[EvalResult] = []
    for function in metrics.functions:
        name = metric_name(function)
        values = {model: by_metric[name] for model, by_metric in by_model.items()}
        everything = np.concatenate([*values.values()])
        is_share = bool(((everything >= 0) & (everything <= 1)).all())
        template = EvalResult(
            SUITE,
            "",
            name,
            None,
            unit="share" if is_share else "score",
            is_higher_better=_is_higher_better(function),
        )
        if set(everything.tolist()) <= {0.0, 1.0}:
            results += share_results(template, values)
        else:
            results += mean_results(template, values)
    return results


def _measure(
    model: EvaluatedModel, rows: Sequence[PromptRow], metrics: CustomMetrics, cache: AnswerCache
) -> dict[str, FloatArray]:
    """Return the values of each metric by row `[n]`."""
    items = [CacheItem(format_prompt(row.messages), (row.messages,)) for row in rows]

    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        return [{"response": text} for text in model.generate([rows[i].messages for i in indices])]

    answers = cache.get_or_compute(SUITE, model, items, compute=generate)
    texts = responses(answers)
    found = {
        metric_name(function): [
            metrics.value(function, row, text) for row, text in zip(rows, texts, strict=True)
        ]
        for function in metrics.functions
    }
    add_verdicts(answers, [{name: own[i] for name, own in found.items()} for i in range(len(rows))])
    return {name: np.array(own, np.float64) for name, own in found.items()}


def _is_higher_better(function: RowFunction) -> bool | None:
    """Return the attribute `higher_is_better` of a function, by default True."""
    if function.rule is not None:
        return None if function.name in NO_DIRECTION else True
    value = getattr(function.function, "higher_is_better", True)
    return None if value is None else bool(value)

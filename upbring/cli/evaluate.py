"""`upbring evaluate`: evaluate models; print a table and write every number to a folder."""

from collections.abc import Sequence
from functools import partial

from rich.markup import escape
from rich.table import Table

from upbring.evaluate.paired import CHANGE_SUFFIX
from upbring.evaluate.to_results import format_result
from upbring.runs.results import ANSWERS, RESULTS, EvalResult
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import votes_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_scorer
from upbring.terminal import Console

DETAIL_PREFIXES = ("strict/",)  # only in the file, not in the table


def run(resolved: Resolved[EvaluateSettings]) -> None:
    """Evaluate, print the table and the paths of the results."""
    settings = resolved.settings
    console = Console()
    error = Console(stderr=True)

    def log(text: str) -> None:
        error.print(text, markup=False, highlight=False, soft_wrap=True)

    results = evaluate(settings, log=log, make_scorer=partial(make_reward_scorer, settings))
    console.print(scorecard(results, settings.models))
    if len(settings.models) > 1:
        console.print("▲▼ significantly above or below the first model (paired by item, 95 %)")
    if any(number.is_synthetic for number in results):
        console.print("* synthetic: judged by the ground truth of the toy world")
    if (waiting_text := votes_waiting_text(settings)) is not None:
        console.print(waiting_text, markup=False, soft_wrap=True)
    paths = f"{settings.to / RESULTS} and {settings.to / ANSWERS}"
    console.print(f"all numbers and responses: {paths}", markup=False, soft_wrap=True)


def scorecard(results: Sequence[EvalResult], models: Sequence[str]) -> Table:
    """Return a table with a row per number and a column per model.

    An arrow marks a significant change from the first model: its interval excludes 0.
    """
    table = Table("suite", "number", box=None, pad_edge=False)
    table.columns[1].overflow = "fold"
    for model in models:
        table.add_column(escape(model))
    arrows = {(n.suite, n.name, n.model): _arrow(n) for n in results}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for number in results:
        is_change = number.name.endswith(CHANGE_SUFFIX) and number.name != "perplexity_change"
        if not number.name.startswith(DETAIL_PREFIXES) and not is_change:
            baseline_text = f" against {number.against}" if number.against else ""
            mark = "*" if number.is_synthetic else ""
            arrow = arrows.get((number.suite, number.name + CHANGE_SUFFIX, number.model), "")
            row_key = number.suite, f"{number.name}{mark}{baseline_text}"
            rows.setdefault(row_key, {})[number.model] = format_result(number) + arrow
    for (suite, name), values in rows.items():
        table.add_row(suite, escape(name), *(escape(values.get(m, "")) for m in models))
    return table


def _arrow(number: EvalResult) -> str:
    """Return an arrow if the interval of a number excludes 0."""
    if number.low is None or number.high is None:
        return ""
    return " ▲" if number.low > 0 else " ▼" if number.high < 0 else ""

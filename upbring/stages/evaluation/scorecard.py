"""The table of an evaluation: a row per number and a column per model."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from upbring.evaluate.paired import CHANGE_SUFFIX
from upbring.evaluate.to_results import format_result
from upbring.runs.results import EvalResult

DETAIL_PREFIXES = ("strict/",)  # only in the file, not in the table
WIDTH = 200  # characters of a line of text


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


def scorecard_text(results: Sequence[EvalResult], models: Sequence[str]) -> str:
    """Return the table and its legend as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=WIDTH, color_system=None, force_jupyter=False).print(
        scorecard(results, models)
    )
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, *legend(results, models)])


def legend(results: Sequence[EvalResult], models: Sequence[str]) -> list[str]:
    """Return the lines that explain the signs in the table."""
    lines = []
    if len(models) > 1:
        lines.append("▲▼ significantly above or below the first model (paired by item, 95 %)")
    if any(number.is_synthetic for number in results):
        lines.append("* synthetic: judged by the ground truth of the toy world")
    return lines


def _arrow(number: EvalResult) -> str:
    """Return an arrow if the interval of a number excludes 0."""
    if number.low is None or number.high is None:
        return ""
    return " ▲" if number.low > 0 else " ▼" if number.high < 0 else ""

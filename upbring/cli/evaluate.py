"""`upbring evaluate`: the numbers about models, in a table and in a folder."""

from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from upbring.evaluate.paired import CHANGE
from upbring.evaluate.to_results import told
from upbring.runs.results import ANSWERS, RESULTS, Measured
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import awaited
from upbring.stages.evaluation.reward_judge import scorer

DETAILS = ("strict/",)  # numbers that stand in the file alone


def run(resolved: Resolved[EvaluateSettings]) -> None:
    """Evaluate, show the table, say where everything lies."""
    settings = resolved.settings
    console = Console()
    error = Console(stderr=True)

    def say(text: str) -> None:
        error.print(text, markup=False, highlight=False, soft_wrap=True)

    found = evaluate(settings, notice=say, scores=partial(scorer, settings))
    console.print(scorecard(found, settings.models))
    if len(settings.models) > 1:
        console.print("▲▼ surely more or less than the first model, item by item (95 %)")
    if any(number.is_synthetic for number in found):
        console.print("* synthetic: judged by the nursery's own truth about an invented world")
    if (todo := awaited(settings)) is not None:
        console.print(todo, markup=False, soft_wrap=True)
    both = f"{settings.to / RESULTS} and {settings.to / ANSWERS}"
    console.print(f"every number and every answer: {both}", markup=False, soft_wrap=True)


def scorecard(found: Sequence[Measured], models: Sequence[str]) -> Table:
    """Return a row for each number and a column for each model.

    An arrow says that the change from the first model is sure: its interval leaves out 0.
    """
    table = Table("suite", "number", box=None, pad_edge=False)
    table.columns[1].overflow = "fold"
    for model in models:
        table.add_column(escape(model))
    arrows = {(n.suite, n.name, n.model): _arrow(n) for n in found}
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for number in found:
        is_change = number.name.endswith(CHANGE) and number.name != "perplexity_change"
        if not number.name.startswith(DETAILS) and not is_change:
            against = f" against {number.against}" if number.against else ""
            mark = "*" if number.is_synthetic else ""
            arrow = arrows.get((number.suite, number.name + CHANGE, number.model), "")
            place = number.suite, f"{number.name}{mark}{against}"
            shown.setdefault(place, {})[number.model] = told(number) + arrow
    for (suite, name), values in shown.items():
        table.add_row(suite, escape(name), *(escape(values.get(m, "")) for m in models))
    return table


def _arrow(number: Measured) -> str:
    """Return whether a number is surely above or below 0."""
    if number.low is None or number.high is None:
        return ""
    return " ▲" if number.low > 0 else " ▼" if number.high < 0 else ""

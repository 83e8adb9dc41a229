"""The table of attacks on a terminal: a row per family, four numbers per model."""

from collections.abc import Sequence

from rich.table import Table

from upbring.evaluate.attacks.attack_results import COMPREHENSION, OVER_REFUSAL, SUCCESS, SUITE
from upbring.runs.results import CHANGE_SUFFIX, EvalResult
from upbring.train.table_layouts import make_table

ALL = "all understood"
_TITLES = {SUCCESS: "success in 1", COMPREHENSION: "understood", OVER_REFUSAL: "over-refusal"}


def attack_table(results: Sequence[EvalResult], model: str) -> Table:
    """Return the table of one model, which fits 80 columns."""
    cells = attack_cells(results, model)
    names = list(dict.fromkeys(name for row in cells.values() for name in row))
    titles = [_column_title(name) for name in names]
    rows = [
        [family, *(format_cell(row[name]) if name in row else "" for name in names)]
        for family, row in cells.items()
    ]
    return make_table(["family", *titles], rows)


def attack_cells(results: Sequence[EvalResult], model: str) -> dict[str, dict[str, EvalResult]]:
    """Return the numbers of one model by family and name; those over all families come last."""
    cells: dict[str, dict[str, EvalResult]] = {}
    for each in results:
        if each.suite != SUITE or each.model != model or each.name.endswith(CHANGE_SUFFIX):
            continue
        family, _, name = each.name.rpartition("/")
        cells.setdefault(family or ALL, {})[name] = each
    return cells


def format_cell(result: EvalResult) -> str:
    """Return a share with its interval, or why there is none."""
    if result.value is None:
        return result.note.partition(":")[0]
    if result.too_few is not None:
        interval = f" (n = {result.too_few})"
    elif result.low is None or result.high is None:
        interval = ""
    else:
        interval = f" ({100 * result.low:.0f}\N{EN DASH}{100 * result.high:.0f})"
    return f"{100 * result.value:.0f} %{interval}"


def _column_title(name: str) -> str:
    if name.startswith(f"{SUCCESS}_at_"):
        return f"success in {name.rpartition('_')[2]}"
    return {SUCCESS: "success in 1", COMPREHENSION: "understood", OVER_REFUSAL: "over-refusal"}[
        name
    ]

"""The table of an evaluation on a terminal: a row per number, a column per model.

The layouts, from wide to narrow: a column of suites; a block per suite; intervals below the values;
a line per model. Long names of models become letters, with a legend.
"""

import io
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Group
from rich.table import Table
from rich.text import Text

from upbring.evaluate.attacks.attack_results import SUITE as REDTEAM
from upbring.evaluate.refusals import SUITE as REFUSALS
from upbring.evaluate.to_results import format_interval, format_number
from upbring.rules.refusal import REFUSAL_RULES
from upbring.runs.results import ABOUT_JUDGES, CHANGE_SUFFIX, EvalResult, list_judges
from upbring.terminal import Console
from upbring.train.table_layouts import Layout, make_table, print_table

UNFIT_MARK = "†"  # of a number that an unfit judge gave
DETAIL_PREFIXES = ("strict/",)  # only in the file, not in the table
MAX_LETTERS = len(string.ascii_uppercase)


@dataclass(frozen=True, slots=True)
class ResultCell:
    """A model's number: its value with an arrow for a significant change, and its interval."""

    value: str = ""
    interval: str = ""

    @property
    def one_line(self) -> str:
        """The value, the interval in brackets, and the arrow."""
        number, _, arrow = self.value.partition("\N{NO-BREAK SPACE}")
        interval = f" ({self.interval})" if self.interval else ""
        return f"{number}{interval}{arrow and ' ' + arrow}"

    @property
    def two_lines(self) -> str:
        """The interval below the value, without spaces."""
        return f"{self.value}\n{self.interval.replace(' ', '')}"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A number of a suite, by model."""

    suite: str
    name: str
    against: str | None
    cells: Mapping[str, ResultCell]

    def title(self, names: Mapping[str, str]) -> str:
        """Return the name, and which model it is relative to."""
        against = f" against {names.get(self.against, self.against)}" if self.against else ""
        return f"{self.name}{against}"


def print_scorecard(console: Console, results: Sequence[EvalResult], models: Sequence[str]) -> None:
    """Print the results of all models.

    An arrow marks a significant change from the first model: its interval excludes 0.
    """
    rows = make_rows(results, models)
    notes = tuple(dict.fromkeys(missing_notes(results)))
    layouts = [
        Layout(layout.table, (*layout.notes, *notes)) for layout in scorecard_layouts(rows, models)
    ]
    print_table(console, layouts)


def scorecard_text(results: Sequence[EvalResult], models: Sequence[str]) -> str:
    """Return the table and its legend as plain text."""
    buffer = io.StringIO()
    console = Console(file=buffer, color_system=None, force_terminal=False, force_jupyter=False)
    print_scorecard(console, results, models)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, *legend(results, models)])


def legend(results: Sequence[EvalResult], models: Sequence[str]) -> list[str]:
    """Return the lines that explain the signs in the table."""
    lines = []
    if len(models) > 1:
        lines.append("▲▼ significantly above or below the first model (paired by item, 95 %)")
    if any(number.is_synthetic for number in results):
        lines.append("* synthetic: judged by the toy world's ground truth or simulated annotators")
    for judge in list_judges(results):
        mark = "" if judge.is_fit else f"{UNFIT_MARK} no evidence: "
        lines.append(f"{mark}preference is {judge.text}")
    if any(number.suite in {REFUSALS, REDTEAM} for number in results):
        lines.append(f"refusals are {REFUSAL_RULES}")
    return lines


def make_rows(results: Sequence[EvalResult], models: Sequence[str]) -> list[ResultRow]:
    """Return a row per number, in the order of the results."""
    arrows = {(n.suite, n.name, n.model): _arrow(n) for n in results if n.against == models[0]}
    rows: dict[tuple[str, str, str | None], dict[str, ResultCell]] = {}
    for number in results:
        is_change = number.name.endswith(CHANGE_SUFFIX) and (
            number.name != "perplexity_change" or number.against != models[0]
        )
        is_detail = number.name.startswith(DETAIL_PREFIXES) or is_attack_cell(number)
        if is_detail or is_change or number.suite in ABOUT_JUDGES:
            continue
        is_unfit = number.judge is not None and not number.judge.is_fit
        change_key = (number.suite, number.name + CHANGE_SUFFIX, number.model)
        arrow = "" if is_unfit else arrows.get(change_key, "")
        mark = "*" * number.is_synthetic + UNFIT_MARK * is_unfit
        key = (number.suite, number.name + mark, number.against)
        text = "not measured" if number.value is None else format_number(number)
        marked = text + (f"\N{NO-BREAK SPACE}{arrow}" if arrow else "")
        rows.setdefault(key, {})[number.model] = ResultCell(marked, format_interval(number))
    return [ResultRow(*key, cells) for key, cells in rows.items()]


def is_attack_cell(number: EvalResult) -> bool:
    """Whether a number is about one family of attacks; the table has those over all families."""
    return number.suite == REDTEAM and "/" in number.name


def missing_notes(results: Sequence[EvalResult]) -> Iterator[str]:
    """Yield why numbers were not measured."""
    for number in results:
        if is_attack_cell(number):
            continue
        if number.value is None and number.note and not number.name.endswith(CHANGE_SUFFIX):
            yield f"not measured: {number.suite} {number.name}: {number.note}"


def scorecard_layouts(rows: Sequence[ResultRow], models: Sequence[str]) -> Iterator[Layout]:
    """Yield the layouts, the widest first."""
    full_names = {model: model for model in models}
    naming: list[tuple[Mapping[str, str], tuple[str, ...]]] = [(full_names, ())]
    if len(models) <= MAX_LETTERS:
        letters = dict(zip(models, string.ascii_uppercase, strict=False))
        naming.append((letters, tuple(f"{letters[model]}: {model}" for model in models)))
    for names, legend in naming:
        yield Layout(_suite_column(rows, names), legend)
        yield Layout(_suite_blocks(rows, names, has_two_lines=False), legend)
    for names, legend in naming:
        yield Layout(_suite_blocks(rows, names, has_two_lines=True), legend)
    yield Layout(Group(*_line_per_model(rows, full_names)))


def _suite_column(rows: Sequence[ResultRow], names: Mapping[str, str]) -> Table:
    return make_table(
        ["suite", "number", *names.values()],
        [
            [
                row.suite,
                row.title(names),
                *(row.cells.get(model, ResultCell()).one_line for model in names),
            ]
            for row in rows
        ],
    )


def _suite_blocks(
    rows: Sequence[ResultRow], names: Mapping[str, str], *, has_two_lines: bool
) -> Table:
    lines: list[list[str | Text]] = []
    for suite, suite_rows in groupby(rows, key=lambda row: row.suite):
        lines.append([Text(suite, "bold"), *("" for _ in names)])
        for row in suite_rows:
            cells = [row.cells.get(model, ResultCell()) for model in names]
            texts = [cell.two_lines if has_two_lines else cell.one_line for cell in cells]
            title = f"  {row.title(names)}".replace(" against ", "\n    against ")
            lines.append([title, *texts])
    return make_table(["", *names.values()], lines)


def _line_per_model(rows: Sequence[ResultRow], names: Mapping[str, str]) -> Iterator[Table | Text]:
    for suite, suite_rows in groupby(rows, key=lambda row: row.suite):
        yield Text(suite, "bold")
        for row in suite_rows:
            yield Text(f"  {row.title(names)}")
            block = Table.grid(padding=(0, 2))
            block.add_column(overflow="fold")
            block.add_column(no_wrap=True)
            for model in (each for each in names if each in row.cells):
                block.add_row(Text(f"    {names[model]}"), Text(row.cells[model].one_line))
            yield block


def _arrow(number: EvalResult) -> str:
    """Return an arrow if the interval of a number excludes 0."""
    if number.low is None or number.high is None:
        return ""
    return "▲" if number.low > 0 else "▼" if number.high < 0 else ""

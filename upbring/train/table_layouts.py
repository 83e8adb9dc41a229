"""Tables whose cells are never broken: on a narrow terminal a table changes its layout.

The first layout that fits into the terminal is printed. Other outputs (files, pipes) have no width,
and get the first layout.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.box import Box
from rich.console import Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from upbring.terminal import Console
from upbring.train.progress import make_log

NO_LIMIT = 100_000  # columns
Row = Sequence[str | Text]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to show a table, and the lines below it, which may be wrapped."""

    table: RenderableType
    notes: tuple[str, ...] = ()


def print_table(console: Console, layouts: Sequence[Layout]) -> None:
    """Print the first layout that fits; the last one if none does."""
    widths = [natural_width(console, layout.table) for layout in layouts]
    if not console.is_terminal:
        console.width = max(console.width, widths[0])
    fitting = (pair[0] for pair in zip(layouts, widths, strict=True) if pair[1] <= console.width)
    chosen = next(fitting, layouts[-1])
    console.print(chosen.table)
    for note in chosen.notes:
        make_log(console)(note)


def natural_width(console: Console, renderable: RenderableType) -> int:
    """Return the width at which nothing has to be wrapped."""
    options = console.options.update(max_width=NO_LIMIT)
    return Measurement.get(console, options, renderable).maximum


def make_table(headings: Sequence[str], rows: Sequence[Row], *, box: Box | None = None) -> Table:
    """Return a table of texts, none of which is wrapped or read as markup."""
    table = Table(box=box, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def table_layouts(
    headings: Sequence[str],
    rows: Sequence[Row],
    *,
    optional: Sequence[str] = (),
    box: Box | None = None,
) -> Iterator[Layout]:
    """Yield a table; then without the `optional` columns, one after another; then as blocks."""
    kept = list(range(len(headings)))
    for dropped in (None, *optional):
        kept = [i for i in kept if headings[i] != dropped]
        names = [headings[i] for i in kept]
        yield Layout(make_table(names, [[row[i] for i in kept] for row in rows], box=box))
    yield Layout(Group(*(_make_block(headings, row) for row in rows)))


def note_layouts(
    headings: Sequence[str],
    rows: Sequence[Row],
    notes: Mapping[str, str],
    *,
    box: Box | None = None,
) -> Iterator[Layout]:
    """Yield a table with a last column of notes, by the first cell; then with the notes below."""
    with_notes = [[*row, notes.get(str(row[0]), "")] for row in rows]
    yield Layout(make_table([*headings, ""], with_notes, box=box))
    lines = tuple(f"{name}: {note}" for name, note in notes.items() if note)
    for layout in table_layouts(headings, rows, box=box):
        yield Layout(layout.table, lines)


def _make_block(headings: Sequence[str], row: Row) -> Table:
    """Return a row as lines: its first cell, then a heading and a cell on each."""
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    block.title, block.title_justify, block.title_style = Text(str(row[0])), "left", "bold"
    for heading, cell in list(zip(headings, row, strict=True))[1:]:
        block.add_row(Text(f"  {heading}"), cell if isinstance(cell, Text) else Text(cell))
    return block

"""`upbring runs diff`: what differs between two runs."""

from itertools import groupby

from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.runs.compare import compare_runs
from upbring.runs.run_folder import Run
from upbring.settings.commands.runs import RunsDiffSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train.table_layouts import print_table, table_layouts

NONE = "–"


def run(resolved: Resolved[RunsDiffSettings]) -> None:
    """Print a table of each section that differs."""
    paths = resolved.settings.runs
    if len(paths) != 2:  # noqa: PLR2004 -- a comparison has two sides
        raise InputError(
            f"runs diff: {format_count(len(paths), 'run')} given; give two, such as "
            "`upbring runs diff runs/sft-1 runs/sft-2`"
        )
    left, right = (Run.open(path) for path in paths)
    console = Console()
    differences = compare_runs(left, right)
    if not differences:
        console.print(f"{left.path} and {right.path}: nothing differs", markup=False)
    names = [each.path.name for each in (left, right)]
    if names[0] == names[1]:
        names = [str(each.path) for each in (left, right)]
    for section, group in groupby(differences, key=lambda each: each.section):
        rows = [(each.name, each.left or NONE, each.right or NONE) for each in group]
        print_table(console, [*table_layouts((section, *names), rows)])
        console.print()

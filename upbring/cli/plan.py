"""`upbring plan VERB …`: what a run of that verb would take, before a weight is read.

Of a recipe it shows the stages, as `upbring run --dry` does.

Its lines go to standard output; what is said of the rows on the way goes to standard error.
"""

from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from upbring import durable
from upbring.cli.flags import parse
from upbring.cli.run import take
from upbring.errors import InputError, nearest
from upbring.model.estimate import Estimate
from upbring.model.pace import Seconds
from upbring.recipe.crafts import CRAFTS
from upbring.recipe.plan import Plan, plan, savings, timed, told, told_time
from upbring.recipe.rehearsal import bytes_of, rehearsed
from upbring.settings.resolve import Resolved, resolve
from upbring.settings.table import imported, verbs
from upbring.settings.verbs import PlanSettings


def run(resolved: Resolved[PlanSettings]) -> None:
    """Print the memory and the time of a run, each by part."""
    verb, *words = resolved.settings.do
    if Path(verb).suffix in {".yaml", ".yml"}:
        take(Path(verb), Path("runs") / Path(verb).stem, is_dry=True)
        return
    if verb not in CRAFTS:
        meant = nearest(verb, CRAFTS)
        hint = f"did you mean {meant}?" if meant else f"give one of {', '.join(CRAFTS)}"
        raise InputError(f"upbring plan: {verb} is no verb that trains; {hint}")
    call = parse(verbs()[verb], words)
    if call is None:
        return
    kind = imported(verbs()[verb].settings)
    asked = resolve(kind, section=verb, file=call.file, flags=call.flags)
    say = partial(Console(stderr=True).print, markup=False, highlight=False, soft_wrap=True)
    cast = rehearsed(verb, asked, notice=say)
    before = durable.memory_bytes() or 0
    made = plan(cast, before=before, file=bytes_of(cast.loaded.base))
    show(Console(), made, timed(cast, made))


def show(console: Console, made: Plan, time: Seconds) -> None:
    """Print a plan."""
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    say(told(made))
    console.print(_table(made.memory))
    say(f"\n{told_time(made, time)}")
    if made.memory.total > made.available:
        say("\nto make it fit, change in this order:")
        for change in savings(made):
            say(f"  {change}")


def _table(memory: Estimate) -> Table:
    """Return what lies in memory at its fullest, a part in a row."""
    table = Table.grid(padding=(0, 2))
    for name, size in memory.parts.items():
        table.add_row(f"  {name}", durable.size(size))
    table.add_row("  most, while", memory.phase)
    return table

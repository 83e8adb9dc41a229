"""`upbring plan VERB …`: what a run of that verb would take, before a weight is read.

Of a recipe it shows the stages: which are kept, and what the others would take.

Its lines go to standard output; what is said of the rows on the way goes to standard error.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upbring import durable
from upbring.cli.flags import parse
from upbring.cli.run import pictured
from upbring.errors import InputError, nearest
from upbring.pipeline.forecast import Prospect, free, prospects
from upbring.pipeline.other_stages import WORKS
from upbring.pipeline.runner import Road
from upbring.pipeline.spec import read_script
from upbring.settings.command_table import imported, verbs
from upbring.settings.commands.plan import PlanSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.planning.dry_model import bytes_of, rehearsed
from upbring.stages.planning.estimate import Estimate
from upbring.stages.planning.plan import Plan, plan, savings, short, timed, told, told_time
from upbring.stages.planning.speed_probe import Seconds
from upbring.stages.registry import CRAFTS

_WIDE = 400  # characters of a line


def run(resolved: Resolved[PlanSettings]) -> None:
    """Print the memory and the time of a run, each by part."""
    verb, *words = resolved.settings.do
    if Path(verb).suffix in {".yaml", ".yml"}:
        _road(Path(verb), words)
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


def _road(recipe: Path, words: Sequence[str]) -> None:
    """Print what is to be done of a recipe's stages in a folder, and what that takes."""
    match words:
        case []:
            folder = Path("runs") / recipe.stem
        case ["--to", name]:
            folder = Path(name)
        case [word, *_]:
            raise InputError(f"upbring plan: {word} says nothing of a recipe; give --to FOLDER")
    script = read_script(recipe)
    found = prospects(Road(script, folder, WORKS, say=lambda _: None))
    Console(stderr=True).print(pictured(script, folder))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)  # a stage is a line, however long
    console.print(_stages(found, is_pretty=console.is_terminal))
    for line in _whole(found, free(folder), is_evaluated=script.evaluate is not None):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _stages(found: Sequence[Prospect], *, is_pretty: bool) -> Table:
    """Return a row for each stage."""
    heads = ("stage", "verb", "standing", "time", "memory", "disk", "")
    table = Table(*heads, box=SIMPLE_HEAD if is_pretty else None, pad_edge=False)
    for each in found:
        about = "" if each.standing == "kept" else "about "
        cells = (
            each.name,
            each.verb,
            each.standing,
            "–" if each.seconds is None else about + short(each.seconds),
            "–" if each.memory is None else about + durable.size(each.memory),
            "–" if each.disk is None else about + durable.size(each.disk),
            each.note,
        )
        table.add_row(*map(Text, cells), style="dim" if each.standing == "kept" else "")
    return table


def _whole(found: Sequence[Prospect], free: int, *, is_evaluated: bool) -> Iterator[str]:
    """Yield what the stages that are not done take together."""
    todo = [each for each in found if each.standing != "kept"]
    if not todo:
        yield "every stage is finished and kept; only evaluation, gates and report are made anew"
        return
    unknown = [each.name for each in todo if each.seconds is None]
    if len(unknown) == len(todo):
        yield f"to do: {len(todo)} of {len(found)} stages; what they take cannot be told yet"
        return
    time = short(sum(each.seconds or 0 for each in todo))
    memory = max((each.memory or 0 for each in todo), default=0)
    disk = sum(max(0, (each.disk or 0) - each.there) for each in todo)
    yield (
        f"to do: {len(todo)} of {len(found)} stages, about {time}, at most {durable.size(memory)} "
        f"of memory and {durable.size(disk)} of {durable.size(free)} free on the disk"
    )
    if uncounted := [*unknown, *(["the evaluation"] if is_evaluated else [])]:
        yield f"not counted: {', '.join(uncounted)}"
    if disk > free:
        yield "there is too little space: free some, or set `keep: 2` and a smaller `rank:`"


def show(console: Console, made: Plan, time: Seconds) -> None:
    """Print a plan."""
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    learned, whole = made.shape.learned, made.shape.numbers
    say(f"{learned:,} of {whole:,} weights learn ({learned / whole:.2%})")
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

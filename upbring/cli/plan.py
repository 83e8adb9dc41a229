"""`upbring plan COMMAND …`: estimate memory and time of a run without reading weights.

For a recipe it prints a row per stage: whether it is finished, and its time, memory and disk.

The plan goes to standard output, messages about the rows to standard error.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from upbring import durable
from upbring.cli.command_table import commands
from upbring.cli.flags import parse_flags
from upbring.cli.run import recipe_tree
from upbring.errors import InputError
from upbring.pipeline.forecast import StageForecast, forecast_stages, free_disk_bytes
from upbring.pipeline.other_stages import STAGE_FUNCTIONS
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.runner import PipelineRunner
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.commands.plan import PlanSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.estimate import MemoryEstimate
from upbring.stages.planning.machine_load import describe_load, highest_load
from upbring.stages.planning.plan import (
    Plan,
    format_memory,
    format_seconds,
    format_time,
    measure_time,
    plan,
    savings,
)
from upbring.stages.planning.speed_probe import TimeEstimate
from upbring.stages.registry import find_method, load_settings, methods
from upbring.terminal import Console

_WIDE_COLUMNS = 400  # characters of a line


def run(resolved: Resolved[PlanSettings]) -> None:
    """Print the memory and the time of a run, by part."""
    command, *args = resolved.settings.do
    if Path(command).suffix in {".yaml", ".yml"}:
        _print_recipe_plan(Path(command), args)
        return
    name = COMMAND_ALIASES.get(command, command) if command not in methods() else command
    method = find_method(str(name))
    parsed = parse_flags(commands()[method.name], args)
    if parsed is None:
        return
    planned = resolve(
        load_settings(method),
        section=method.name,
        file=parsed.settings_file,
        flags=parsed.flags,
        other_sections={name: each.load_settings for name, each in commands().items()},
    )
    log = partial(Console(stderr=True).print, markup=False, highlight=False, soft_wrap=True)
    context = make_dry_run_context(method.name, planned, log=log)
    memory_plan = plan(context, baseline=durable.process_memory_bytes())
    print_plan(Console(), memory_plan, measure_time(context, memory_plan))


def _print_recipe_plan(recipe_path: Path, args: Sequence[str]) -> None:
    """Print the status of a recipe's stages in a folder, and their time, memory and disk."""
    match args:
        case []:
            folder = Path("runs") / recipe_path.stem
        case ["--to", name]:
            folder = Path(name)
        case [word, *_]:
            raise InputError(
                f"upbring plan: {word} does not apply to a recipe; give only --to FOLDER"
            )
    recipe = read_recipe(recipe_path)
    forecasts = forecast_stages(PipelineRunner(recipe, folder, STAGE_FUNCTIONS, log=lambda _: None))
    Console(stderr=True).print(recipe_tree(recipe, folder))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE_COLUMNS)  # no line breaks within a stage
    console.print(_stage_table(forecasts, is_pretty=console.is_terminal))
    for line in _summary_lines(
        forecasts, free_disk_bytes(folder), is_evaluated=recipe.evaluate is not None
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _stage_table(forecasts: Sequence[StageForecast], *, is_pretty: bool) -> Table:
    """Return a table with a row per stage."""
    heads = ("stage", "method", "status", "time", "memory", "disk", "")
    table = Table(*heads, box=SIMPLE_HEAD if is_pretty else None, pad_edge=False)
    for stage in forecasts:
        approximately = "" if stage.action == "kept" else "about "
        cells = (
            stage.name,
            stage.command,
            stage.action,
            "–" if stage.seconds is None else approximately + format_seconds(stage.seconds),
            "–" if stage.memory is None else approximately + durable.format_size(stage.memory),
            "–" if stage.disk is None else approximately + durable.format_size(stage.disk),
            stage.note,
        )
        table.add_row(*map(Text, cells), style="dim" if stage.action == "kept" else "")
    return table


def _summary_lines(
    forecasts: Sequence[StageForecast], free_bytes: int, *, is_evaluated: bool
) -> Iterator[str]:
    """Yield the total time, memory and disk of the unfinished stages."""
    todo = [stage for stage in forecasts if stage.action != "kept"]
    if not todo:
        yield "all stages are finished and kept; only evaluation, gates and report run again"
        return
    unknown = [each.name for each in todo if each.seconds is None]
    if len(unknown) == len(todo):
        yield f"to do: {len(todo)} of {len(forecasts)} stages; time and memory are not known yet"
        return
    time = format_seconds(sum(each.seconds or 0 for each in todo))
    memory = max((each.memory or 0 for each in todo), default=0)
    disk = sum(max(0, (each.disk or 0) - each.disk_used) for each in todo)
    memory_text, disk_text, free_text = map(durable.format_size, (memory, disk, free_bytes))
    yield (
        f"to do: {len(todo)} of {len(forecasts)} stages, about {time}, at most {memory_text} "
        f"of memory and {disk_text} of {free_text} free on the disk"
    )
    if uncounted := [*unknown, *(["the evaluation"] if is_evaluated else [])]:
        yield f"not counted: {', '.join(uncounted)}"
    if load := describe_load(highest_load(stage.other_load for stage in todo)):
        yield f"time: {load}"
    if disk > free_bytes:
        yield "not enough disk space: free some, or set `save_total_limit: 2` and a smaller `rank:`"


def print_plan(console: Console, memory_plan: Plan, time_estimate: TimeEstimate) -> None:
    """Print a plan."""
    log = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    profile = memory_plan.memory_profile
    share = profile.num_trainable / profile.num_parameters
    log(f"{profile.num_trainable:,} of {profile.num_parameters:,} trainable ({share:.2%})")
    log(format_memory(memory_plan))
    console.print(_memory_table(memory_plan.memory))
    log(f"\n{format_time(memory_plan, time_estimate)}")
    if memory_plan.memory.total > memory_plan.available_bytes:
        log("\nto make it fit, change in this order:")
        for change in savings(memory_plan):
            log(f"  {change}")


def _memory_table(memory: MemoryEstimate) -> Table:
    """Return the parts of the peak memory, one per row."""
    table = Table.grid(padding=(0, 2))
    for name, size in memory.peak_parts.items():
        table.add_row(f"  {name}", durable.format_size(size))
    table.add_row("  peak in phase", memory.peak_phase)
    return table

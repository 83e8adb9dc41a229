"""Prints the forecast of a pipeline: a row per stage, and the totals of what is left to do."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.text import Text

from upbring import durable
from upbring.pipeline.forecast import StageForecast, forecast_stages, free_disk_bytes
from upbring.pipeline.other_stages import STAGE_FUNCTIONS
from upbring.pipeline.recipe import Recipe
from upbring.pipeline.runner import PipelineRunner
from upbring.plurals import format_count
from upbring.stages.planning.machine_load import describe_load, highest_load
from upbring.stages.planning.plan import format_seconds
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.table_layouts import Layout, note_layouts, print_table


def forecast_recipe(recipe: Recipe, folder: Path) -> list[StageForecast]:
    """Return the forecast of each stage of a recipe in a folder; nothing is written."""
    return forecast_stages(PipelineRunner(recipe, folder, STAGE_FUNCTIONS, log=lambda _: None))


def print_forecast(
    console: Console, recipe: Recipe, folder: Path, forecasts: Sequence[StageForecast]
) -> None:
    """Print the table of the stages, and the time, memory and disk of the unfinished ones."""
    print_table(console, [*_stage_layouts(forecasts, is_pretty=console.is_terminal)])
    for line in _summary_lines(
        forecasts, free_disk_bytes(folder), is_evaluated=recipe.evaluate is not None
    ):
        make_log(console)(line)


def _stage_layouts(forecasts: Sequence[StageForecast], *, is_pretty: bool) -> Iterator[Layout]:
    """Yield tables with a row per stage; a narrow terminal gets the notes below the table."""
    rows = []
    for stage in forecasts:
        approximately = "" if stage.action == "kept" else "about "
        cells = (
            stage.name,
            stage.command,
            stage.action,
            "–" if stage.seconds is None else approximately + format_seconds(stage.seconds),
            "–" if stage.memory is None else approximately + durable.format_size(stage.memory),
            "–" if stage.disk is None else approximately + durable.format_size(stage.disk),
        )
        rows.append([Text(cell, "dim" if stage.action == "kept" else "") for cell in cells])
    headings = ("stage", "method", "status", "time", "memory", "disk")
    notes = {stage.name: stage.note for stage in forecasts}
    yield from note_layouts(headings, rows, notes, box=SIMPLE_HEAD if is_pretty else None)


def _summary_lines(
    forecasts: Sequence[StageForecast], free_bytes: int, *, is_evaluated: bool
) -> Iterator[str]:
    """Yield the total time, memory and disk of the unfinished stages."""
    todo = [stage for stage in forecasts if stage.action != "kept"]
    if not todo:
        yield "all stages are finished and kept; only evaluation, gates and report run again"
        return
    unknown = [each.name for each in todo if each.seconds is None]
    stages = format_count(len(todo), "stage", total=len(forecasts))
    if len(unknown) == len(todo):
        yield f"to do: {stages}; time and memory are not known yet"
        return
    time = format_seconds(sum(each.seconds or 0 for each in todo))
    memory = max((each.memory or 0 for each in todo), default=0)
    disk = sum(max(0, (each.disk or 0) - each.disk_used) for each in todo)
    memory_text, disk_text, free_text = map(durable.format_size, (memory, disk, free_bytes))
    yield (
        f"to do: {stages}, about {time}, at most {memory_text} of memory and "
        f"{disk_text} of {free_text} free on the disk"
    )
    if uncounted := [*unknown, *(["the evaluation"] if is_evaluated else [])]:
        yield f"not counted: {', '.join(uncounted)}"
    if load := describe_load(highest_load(stage.other_load for stage in todo)):
        yield f"time: {load}"
    if disk > free_bytes:
        yield "not enough disk space: free some, or set `save_total_limit: 2` and a smaller `rank:`"

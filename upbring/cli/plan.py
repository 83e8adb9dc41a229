"""`upbring plan COMMAND …`: estimate memory and time of a run without reading weights.

For a recipe it prints a row per stage: whether it is finished, and its time, memory and disk.

The plan goes to standard output, messages about the rows to standard error.
"""

from collections.abc import Sequence
from pathlib import Path

from upbring import durable
from upbring.cli.command_table import commands
from upbring.cli.flags import parse_flags
from upbring.cli.preflight.planned_command import find_planned_method, planned_command
from upbring.errors import InputError
from upbring.pipeline.print_forecast import forecast_recipe, print_forecast
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.recipe_folder import default_folder
from upbring.pipeline.run_recipe import recipe_tree
from upbring.settings.commands.plan import PlanSettings
from upbring.settings.resolve import Resolved
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.plan import Plan, measure_time, plan
from upbring.stages.planning.print_plan import print_plan
from upbring.stages.planning.speed_probe import TimeEstimate
from upbring.terminal import Console
from upbring.tracking import track_call
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[PlanSettings]) -> None:
    """Print the memory and the time of a run, by part."""
    command, *args = resolved.settings.do
    if Path(command).suffix in {".yaml", ".yml"}:
        _print_recipe_plan(Path(command), args)
        return
    planned = planned_command(resolved.settings.do)
    if planned is None:
        parse_flags(commands()[find_planned_method(command).name], ["--help"])
        return
    log = make_log(Console(stderr=True))

    def make_plan() -> tuple[Plan, TimeEstimate]:
        context = make_dry_run_context(planned.method.name, planned.resolved, log=log)
        memory_plan = plan(context, baseline=durable.process_memory_bytes())
        return memory_plan, measure_time(context, memory_plan)

    track = make_tracker(Console(stderr=True))
    print_plan(Console(), *track_call(track, "reading the data, measuring the speed", make_plan))


def _print_recipe_plan(recipe_path: Path, args: Sequence[str]) -> None:
    """Print the status of a recipe's stages in a folder, and their time, memory and disk."""
    match args:
        case []:
            folder = default_folder(recipe_path)
        case ["--to", name]:
            folder = Path(name)
        case [word, *_]:
            raise InputError(
                f"upbring plan: {word} does not apply to a recipe; give only --to FOLDER"
            )
    recipe = read_recipe(recipe_path)
    track = make_tracker(Console(stderr=True))
    forecasts = track_call(track, "estimating the stages", lambda: forecast_recipe(recipe, folder))
    Console(stderr=True).print(recipe_tree(recipe, folder))
    print_forecast(Console(), recipe, folder, forecasts)

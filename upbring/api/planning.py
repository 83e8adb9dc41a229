"""Estimates from Python: memory and time of a run or of a recipe, before it starts."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, overload

from upbring import durable
from upbring.api.arguments import resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.functions import bind_arguments, public_functions, training_function
from upbring.api.messages import to_python
from upbring.api.notebook import make_log
from upbring.api.run import Run
from upbring.api.training import split_arguments
from upbring.errors import InputError, format_value
from upbring.pipeline.print_forecast import forecast_recipe, print_forecast
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.recipe_folder import default_folder
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.plan import measure_time
from upbring.stages.planning.plan import plan as plan_stage
from upbring.stages.planning.print_plan import print_plan
from upbring.stages.registry import find_method, load_settings
from upbring.terminal import Console
from upbring.train import devices

P = ParamSpec("P")
WIDTH = 200  # characters of a line
RECIPE_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, repr=False)
class PlanEstimate:
    """The estimated memory and time of a run or of a recipe's unfinished stages; prints in full."""

    memory_bytes: int
    available_bytes: int
    seconds: float
    text: str

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.memory_bytes <= self.available_bytes

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


@overload
def plan(what: Callable[P, Run], /, *args: P.args, **kwargs: P.kwargs) -> PlanEstimate: ...
@overload
def plan(what: str | os.PathLike[str], /, *args: object, **kwargs: object) -> PlanEstimate: ...
@runs_models
def plan(what: object, /, *args: object, **kwargs: object) -> PlanEstimate:
    """Estimate memory and time without reading weights and without starting anything.

    `upbring.plan(upbring.sft, "./base", data="chat.jsonl")` plans that call; a method may also be
    given by its name. `upbring.plan("recipe.yaml", to="runs/recipe")` plans the unfinished stages
    of a recipe.
    """
    if isinstance(what, str | os.PathLike):
        path = Path(what)
        if path.suffix in RECIPE_SUFFIXES:
            return _plan_recipe(path, args, kwargs)
        function = training_function(find_method(str(what)))
    else:
        name = getattr(what, "__name__", "")
        if name not in public_functions() or public_functions()[name].returns != "Run":
            raise InputError(
                f"plan: {format_value(what)} is no training function; give one, such as "
                "upbring.sft, or a recipe"
            )
        function = public_functions()[name]
    return _plan_training(function.command, bind_arguments(function, args, kwargs))


def _plan_training(method: str, arguments: dict[str, object]) -> PlanEstimate:
    settings_class = load_settings(find_method(method))
    settings = split_arguments(method, arguments).settings
    resolved = resolve_arguments(settings_class, command=method, arguments=settings)
    context = make_dry_run_context(method, resolved, log=make_log())
    stage_plan = plan_stage(context, baseline=durable.process_memory_bytes())
    time = measure_time(context, stage_plan)
    buffer = io.StringIO()
    print_plan(
        Console(file=buffer, width=WIDTH, color_system=None, force_jupyter=False), stage_plan, time
    )
    return PlanEstimate(
        memory_bytes=stage_plan.memory.total,
        available_bytes=stage_plan.available_bytes,
        seconds=time.total,
        text=_text(buffer),
    )


def _plan_recipe(path: Path, args: tuple[object, ...], kwargs: dict[str, object]) -> PlanEstimate:
    folder = kwargs.pop("to", None)
    if args or kwargs:
        given = [*map(format_value, args), *kwargs]
        raise InputError(f"plan: {given[0]} does not apply to a recipe; give only to")
    recipe = read_recipe(path)
    to = default_folder(path) if folder is None else Path(str(folder))
    forecasts = forecast_recipe(recipe, to)
    buffer = io.StringIO()
    print_forecast(
        Console(file=buffer, color_system=None, force_jupyter=False), recipe, to, forecasts
    )
    todo = [each for each in forecasts if each.action != "kept"]
    return PlanEstimate(
        memory_bytes=max((each.memory or 0 for each in todo), default=0),
        available_bytes=devices.total_memory(devices.choose_device("auto")),
        seconds=sum(each.seconds or 0 for each in todo),
        text=_text(buffer),
    )


def _plain_console(buffer: io.StringIO) -> Console:
    """Return a console that writes text to the buffer, in a notebook too."""
    return Console(file=buffer, width=WIDTH, color_system=None, force_jupyter=False)


def _text(buffer: io.StringIO) -> str:
    """Return what was printed, for a caller, without spaces at the ends of lines."""
    return to_python("\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines()))

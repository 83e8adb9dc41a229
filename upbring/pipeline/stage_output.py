"""Whether a finished stage still has its output, unchanged."""

from pathlib import Path

from upbring import durable
from upbring.errors import InputError
from upbring.pipeline.recipe import StageSpec
from upbring.runs.find_model import open_model_folder
from upbring.runs.run_folder import Run
from upbring.stages.registry import methods


def find_damage(stage: StageSpec, folder: Path) -> str | None:
    """Return what is wrong with the output of a finished stage; None if nothing is.

    Raises an InputError if what is damaged cannot be made again, because people made it.
    """
    has_model = stage.command in methods() or stage.makes_policy
    output = Run(folder).model if has_model else folder
    if not output.is_dir():
        return "its output is incomplete"
    try:
        durable.verify(output)
        if has_model:
            open_model_folder(output)
    except InputError as error:
        if getattr(stage.resolved.settings, "by", None) == "people":
            raise
        return str(error).partition("; ")[0]  # without the advice: it is made again
    return None

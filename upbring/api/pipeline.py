"""Pipelines from Python: run a recipe to its end."""

import os
from dataclasses import dataclass
from pathlib import Path

from upbring.api.calls import runs_models
from upbring.api.evaluation import Evaluation, make_evaluation
from upbring.api.notebook import make_console
from upbring.api.run import Run
from upbring.pipeline.gates import GateResult
from upbring.pipeline.recipe_folder import default_folder
from upbring.pipeline.run_recipe import run_recipe
from upbring.runs.run_folder import STAGES_FOLDER
from upbring.stages.registry import methods

EVALUATION_FOLDER = "evaluation"


@dataclass(frozen=True)
class PipelineResult:
    """The result of a recipe: the runs of its stages, its evaluation, its gates and its report."""

    path: Path  # absolute
    stages: dict[str, Run]  # the stages that train, by name, in order
    evaluation: Evaluation | None
    gates: tuple[GateResult, ...]
    waits_for: str  # what people have to do before it can continue; empty if it is finished

    @property
    def report_path(self) -> Path:
        """The page of the report."""
        return self.path / "report.html"


@runs_models
def run(
    recipe: str | os.PathLike[str],
    *,
    to: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
) -> PipelineResult:
    """Run all stages of a recipe, then evaluate, check the gates and write the report.

    Finished stages are kept and interrupted ones resumed: call it again at any time. Raises
    `GateError` if a gate fails.

    Args:
        recipe: A YAML file with `model:` and `stages:`.
        to: Output folder. None: runs/ and the recipe's name with a hash of its path.
        dry_run: Check the recipe and show its stages without running them.
    """
    path = Path(recipe)
    folder = default_folder(path) if to is None else Path(to)
    outcome = run_recipe(path, folder, is_dry_run=dry_run, console=make_console())
    trained = [stage.name for stage in outcome.recipe.stages if stage.command in methods()]
    evaluation = None
    if outcome.results:
        names = outcome.recipe.evaluated_models
        evaluation = make_evaluation(outcome.results, names, folder / EVALUATION_FOLDER)
    return PipelineResult(
        path=folder.absolute(),
        stages={
            name: Run(stage)
            for name in trained
            if ((stage := folder / STAGES_FOLDER / name) / "run.json").is_file()
        },
        evaluation=evaluation,
        gates=outcome.gates,
        waits_for=outcome.waits_for,
    )

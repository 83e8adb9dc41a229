"""Run the pipeline of a recipe to its end: stages, evaluation, gates and report."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.tree import Tree

from upbring.errors import GateError, format_command
from upbring.pipeline.ask import PipelinePrompts, format_answers
from upbring.pipeline.check_measurable import check_measurable
from upbring.pipeline.finish import check_gates, evaluate_models, remove_evidence
from upbring.pipeline.gates import METRICS, GateResult
from upbring.pipeline.live_view import LiveView
from upbring.pipeline.other_stages import STAGE_FUNCTIONS, collect_rankings
from upbring.pipeline.recipe import BASE, Recipe, read_recipe
from upbring.pipeline.runner import PipelineRunner, StageFunction, WaitingError
from upbring.plurals import format_count
from upbring.report.build import write_report
from upbring.runs.results import EvalResult
from upbring.stages.evaluation.scorecard import legend, print_scorecard
from upbring.terminal import Console
from upbring.tracking import Track, track_call
from upbring.train.progress import has_bars, make_log
from upbring.train.work_progress import make_tracker


@dataclass(frozen=True)
class PipelineOutcome:
    """How a run of a recipe ended: its evaluation and its gates, or what it waits for."""

    recipe: Recipe
    results: tuple[EvalResult, ...] = ()
    gates: tuple[GateResult, ...] = ()
    waits_for: str = ""


def run_recipe(
    recipe_path: Path, folder: Path, *, is_dry_run: bool = False, console: Console | None = None
) -> PipelineOutcome:
    """Read a recipe, run its stages, evaluate, check the gates, write the report."""
    console = console or Console(stderr=True)

    log, track = make_log(console), make_tracker(console)
    recipe = read_recipe(recipe_path)
    check_measurable(recipe)
    live_view = (
        None if is_dry_run or not has_bars(console) else LiveView(recipe, folder, console=console)
    )
    if live_view is None:
        console.print(recipe_tree(recipe, folder))
    if is_dry_run:
        return PipelineOutcome(recipe)
    stage_functions: dict[str, StageFunction] = {
        **STAGE_FUNCTIONS,
        "collect": partial(collect_rankings, track=track),
    }
    runner = PipelineRunner(recipe, folder, stage_functions, log, live_view=live_view)
    if recipe.ask:
        runner.on_model_ready = partial(
            _print_sample_answers, runner, PipelinePrompts(recipe.ask, folder), track
        )
    with runner.locked():
        remove_evidence(folder)
        try:
            with live_view or nullcontext():
                runner.on_model_ready(BASE)
                runner.run()
                results = evaluate_models(runner, track=track)
            gates = _finish(runner, console, results, track=track)
            return PipelineOutcome(recipe, tuple(results), gates)
        except WaitingError as waiting:
            log(str(waiting))
            return PipelineOutcome(recipe, waits_for=str(waiting))


def _finish(
    runner: PipelineRunner, console: Console, results: Sequence[EvalResult], *, track: Track
) -> tuple[GateResult, ...]:
    """Print the results, check the gates and write the report; raise if a gate fails."""
    recipe, folder = runner.recipe, runner.folder
    if results:
        headlines = [each for each in results if is_headline(each)]
        print_scorecard(console, headlines, recipe.evaluated_models)
        for line in [*legend(headlines, ()), "the report has every number"]:
            runner.log(line)
    gate_results = check_gates(runner, results)
    failed = [result.name for result in gate_results if result.passed is not True]
    runner.save_state(status="gates failed" if failed else "finished")
    written = track_call(track, "writing the report", partial(write_report, [folder], folder))
    lines = [*(each.summary for each in gate_results), f"\nreport: {written.html_path}"]
    if last_policy := next(
        (stage for stage in reversed(recipe.stages) if stage.makes_policy), None
    ):
        command = format_command("chat", runner.stage_folder(last_policy.name))
        lines.append(f"chat with it: {command.strip('`')}")
    for line in lines:
        runner.log(line)
    if failed:
        raise GateError(
            f"{folder}: {format_count(len(failed), 'gate', total=len(gate_results))} did not pass "
            f"({', '.join(failed)}); see {written.html_path}"
        )
    return tuple(gate_results)


def is_headline(measured: EvalResult) -> bool:
    """Whether gates can use a number; these numbers are the most important ones."""
    return any(
        (measured.suite, measured.name) in gated_metrics for gated_metrics in METRICS.values()
    )


def _print_sample_answers(
    runner: PipelineRunner, prompts: PipelinePrompts, track: Track, name: str
) -> None:
    """Generate responses to the recipe's prompts with a model, and print them."""
    answers = prompts.ask(name, runner.resolve_model(name), log=runner.log, track=track)
    runner.log(format_answers(name, answers))


def recipe_tree(recipe: Recipe, folder: Path) -> Tree:
    """Return the pipeline as a tree: each stage under the last stage that it needs."""
    root = Tree(f"{recipe.file} → {folder}")
    nodes = {"": root.add(f"base: {recipe.model}")}
    for stage in recipe.stages:
        parent = nodes[stage.needs[-1]] if stage.needs else nodes[""]
        needs = f" (with {', '.join(stage.needs[:-1])})" if len(stage.needs) > 1 else ""
        nodes[stage.name] = parent.add(f"{stage.name}: {stage.command}{needs}")
    if recipe.evaluate is not None:
        root.add(f"evaluate: {', '.join(recipe.evaluated_models)}")
    if recipe.gates:
        root.add("gates: " + "; ".join(f"{gate.name} {gate.condition}" for gate in recipe.gates))
    return root

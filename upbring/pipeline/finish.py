"""The end of a pipeline: its models are evaluated and its gates are checked."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from upbring import durable
from upbring.errors import Interrupted
from upbring.evaluate.answer_cache import AnswerCache
from upbring.pipeline.gates import GateResult, check_gate, write_gate_results
from upbring.pipeline.live_view import EVALUATION
from upbring.pipeline.runner import EVALUATION_FOLDER, PipelineRunner, WaitingError
from upbring.report.build import REPORT_HTML, REPORT_JSON
from upbring.runs.results import ANSWERS, RESULTS, EvalResult
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import votes_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_scorer
from upbring.tracking import Track, no_tracking

GATES = "gates.json"


def remove_evidence(folder: Path) -> None:
    """Remove what an earlier run measured: the recipe or its files may have changed since.

    The answers are kept as stale rows; an unchanged model does not answer again.
    """
    evaluation = folder / EVALUATION_FOLDER
    stale_files = (evaluation / RESULTS, folder / GATES, folder / REPORT_HTML, folder / REPORT_JSON)
    with durable.explain_os_errors(folder):
        for file in stale_files:
            file.unlink(missing_ok=True)
    if (evaluation / ANSWERS).is_file():
        AnswerCache(evaluation / ANSWERS).save()


def evaluate_models(runner: PipelineRunner, *, track: Track = no_tracking) -> list[EvalResult]:
    """Evaluate the pipeline's models and return the results; cached answers are reused.

    Raises `WaitingError` if people judge and have not voted yet.
    """
    settings = runner.evaluation_settings()
    if settings is None:
        return []
    runner.log(f"\n── evaluate: {', '.join(runner.recipe.evaluated_models)}")
    names = runner.recipe.evaluated_models
    runner.show_state(EVALUATION, "running")
    try:
        results = evaluate(
            settings,
            log=runner.log,
            track=track,
            make_scorer=partial(make_reward_scorer, settings, track=track),
            names=names,
            keeps_other_suites=False,
        )
    except BaseException as error:
        runner.show_state(EVALUATION, "interrupted" if isinstance(error, Interrupted) else "failed")
        raise
    if (waiting_text := votes_waiting_text(settings)) is not None:
        runner.show_state(EVALUATION, "waiting")
        runner.save_state(status="waiting")
        raise WaitingError(waiting_text)
    runner.show_state(EVALUATION, "finished")
    return results


def check_gates(runner: PipelineRunner, results: Sequence[EvalResult]) -> list[GateResult]:
    """Check the gates; save and return the results."""
    gate_results = [check_gate(gate, results) for gate in runner.recipe.gates]
    write_gate_results(runner.folder / GATES, gate_results)
    return gate_results

"""The end of a road: its models are evaluated and its gates judged."""

from collections.abc import Sequence
from functools import partial

from upbring.errors import Interrupted
from upbring.pipeline.gates import Verdict, judge, write_verdicts
from upbring.pipeline.live_view import EVALUATION
from upbring.pipeline.runner import Road, WaitingError
from upbring.runs.results import Measured
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import awaited
from upbring.stages.evaluation.reward_judge import scorer


def measure(road: Road) -> list[Measured]:
    """Return the numbers of the road's models; answers that were given before are not asked for.

    Where people judge who have not yet, the road waits.
    """
    settings = road.evaluation()
    if settings is None:
        return []
    road.say(f"\n── evaluate: {', '.join(road.script.models)}")
    names = road.script.models
    road.show(EVALUATION, "running")
    try:
        found = evaluate(settings, notice=road.say, scores=partial(scorer, settings), names=names)
    except BaseException as error:
        road.show(EVALUATION, "interrupted" if isinstance(error, Interrupted) else "failed")
        raise
    if (todo := awaited(settings)) is not None:
        road.show(EVALUATION, "waiting")
        road.write(status="waiting")
        raise WaitingError(todo)
    road.show(EVALUATION, "finished")
    return found


def judged(road: Road, results: Sequence[Measured]) -> list[Verdict]:
    """Return what became of the gates, and save it."""
    verdicts = [judge(gate, results) for gate in road.script.gates]
    write_verdicts(road.folder / "gates.json", verdicts)
    return verdicts

"""The end of a road: its models are evaluated and its gates judged."""

from collections.abc import Sequence
from functools import partial

from upbring.recipe.evaluation import evaluate
from upbring.recipe.gates import Verdict, judge, write_verdicts
from upbring.recipe.judging import scorer
from upbring.recipe.road import Road
from upbring.runs.results import Measured


def measure(road: Road) -> list[Measured]:
    """Return the numbers of the road's models; answers that were given before are not asked for."""
    settings = road.evaluation()
    if settings is None:
        return []
    road.say(f"\n── evaluate: {', '.join(road.script.models)}")
    names = road.script.models
    return evaluate(settings, notice=road.say, scores=partial(scorer, settings), names=names)


def judged(road: Road, results: Sequence[Measured]) -> list[Verdict]:
    """Return what became of the gates, and save it."""
    verdicts = [judge(gate, results) for gate in road.script.gates]
    write_verdicts(road.folder / "gates.json", verdicts)
    return verdicts

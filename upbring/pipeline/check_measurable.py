"""Gates on numbers that nothing will measure are rejected before the first stage.

Excluded: rows that a stage writes, which are not known yet; then only the suites are compared. The
names of a user's own metrics are not known before they are called.
"""

from collections.abc import Iterator

from upbring.errors import InputError
from upbring.evaluate.custom_metrics import SUITE as CUSTOM
from upbring.pipeline.gates import Gate, find_unmeasured, find_unrequested
from upbring.pipeline.recipe import Recipe
from upbring.stages.evaluation.evaluate import requested_suites
from upbring.stages.evaluation.judge_gold import gold_of
from upbring.stages.evaluation.measurable import measurable_results


def check_measurable(recipe: Recipe) -> None:
    """Raise one InputError that names unusable gold pairs and gates on what is not measured."""
    if recipe.evaluate is None:
        return
    if problems := [*_gold_problems(recipe), *(_problems(recipe) if recipe.gates else ())]:
        raise InputError("\n".join(problems))


def _gold_problems(recipe: Recipe) -> Iterator[str]:
    assert recipe.evaluate is not None, "checked by the caller"
    settings = recipe.evaluate.settings
    if all(path.exists() for path in settings.gold):  # others are made by stages
        try:
            gold_of(settings)
        except InputError as error:
            yield f"{recipe.file}: evaluate: {error}"


def is_custom(gate: Gate) -> bool:
    """Whether a gate is about a number of the user's own functions."""
    return gate.metric.startswith(f"{CUSTOM}/")


def _problems(recipe: Recipe) -> Iterator[str]:
    assert recipe.evaluate is not None, "gates need an evaluation"
    settings = recipe.evaluate.settings
    if all(path.exists() for path in settings.data):
        try:
            results = measurable_results(settings, recipe.evaluated_models)
        except InputError as error:
            yield f"{recipe.file}: evaluate: {error}"
            return
        known = [g for g in recipe.gates if not (is_custom(g) and settings.metric_function)]
        reasons = ((gate, find_unmeasured(gate, results)) for gate in known)
    else:
        suites = requested_suites(settings)
        reasons = ((gate, find_unrequested(gate, suites)) for gate in recipe.gates)
    for gate, reason in reasons:
        if reason:
            yield f"{recipe.file}:{gate.line}: gates.{gate.name}: {reason}"

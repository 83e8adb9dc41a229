"""`upbring redteam`: attack models and write every number and every response to a folder."""

from dataclasses import replace

from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.runs.results import EvalResult
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.redteam import RedteamSettings
from upbring.stages.evaluation.evaluate import AttackedData, evaluate
from upbring.stages.evaluation.models import Log
from upbring.stages.redteam.attack_plan import AttackPlan, read_confusion, select_families
from upbring.stages.redteam.read_requests import read_requests
from upbring.tracking import Track, no_tracking


def redteam(settings: RedteamSettings, *, log: Log, track: Track = no_tracking) -> list[EvalResult]:
    """Attack the models and return all results of the folder."""
    attacks = load_attacks(settings)
    num_harmful = sum(each.is_harmful for each in attacks.requests)
    log(
        f"{format_count(len(attacks.plan.families), 'family')} of attacks, "
        f"{format_count(attacks.plan.tries, 'try')} on each of "
        f"{format_count(num_harmful, 'harmful request')}, "
        f"{format_count(len(attacks.requests) - num_harmful, 'innocent request')}"
    )
    if settings.refusal_labels is None:
        log("attack success is not corrected for errors of the refusal rules; see --refusal-labels")
    evaluate_settings = EvaluateSettings(
        models=settings.model,
        suite=("redteam",),
        to=settings.to,
        max_tokens=settings.max_tokens,
        chat_template=settings.chat_template,
        seed=settings.seed,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )
    return evaluate(evaluate_settings, log=log, track=track, attacks=attacks)


def load_attacks(settings: RedteamSettings) -> AttackedData:
    """Return the requests and the plan; raise an InputError for files without requests."""
    harmful = read_requests(settings.harmful, is_harmful=True, limit=settings.limit)
    innocent = read_requests(settings.innocent, is_harmful=False, limit=settings.limit)
    if shared := {each.prompt for each in harmful} & {each.prompt for each in innocent}:
        text = next(iter(shared))[-1].content
        raise InputError(
            f"{settings.harmful[0]}: {format_count(len(shared), 'request', verb='is')} harmful and "
            f"innocent, such as {text[:60]!r}; give each request in one of the two"
        )
    plan = AttackPlan(
        select_families(settings.families),
        tries=settings.tries,
        seed=settings.seed,
        min_comprehension=settings.min_comprehension,
    )
    if settings.refusal_labels is not None:
        plan = replace(plan, confusion=read_confusion(settings.refusal_labels))
    return AttackedData((*harmful, *innocent), plan)

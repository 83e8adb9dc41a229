"""`upbring evaluate`: all suites for one model after another, and one folder of results.

At most one model is in memory. Each model first answers all prompts of all suites; the answers are
cached, and the suites are then measured from the cache. Only drift loads the first model once more,
to score the answers of the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.errors import InputError, Interrupted, format_value, nearest
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.benchmarks.harness import Harness, check_tasks
from upbring.evaluate.custom_metrics import CustomMetrics, check_functions
from upbring.evaluate.human_votes import Votes
from upbring.evaluate.model_protocol import EvaluatedModel
from upbring.evaluate.preference import Comparer, PreferenceJudge, Scorer, collect_answers
from upbring.evaluate.refusals import RefusalRequest
from upbring.interruption import Interruption
from upbring.judge.judgment import JudgeQuestion
from upbring.judge.load_function import load_function, make_function
from upbring.judge.measure import GoldPair
from upbring.judge.row_function import RowFunction
from upbring.remote.address import is_url
from upbring.runs.results import (
    ANSWERS,
    CONTAMINATION,
    JUDGE,
    EvalResult,
    read_results,
    write_results,
)
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.contamination.doubt_judge import doubt_judge
from upbring.stages.contamination.measure_contamination import measure_contamination
from upbring.stages.evaluation.eval_data import EvalData, has_rows, load_eval_data
from upbring.stages.evaluation.human_judge import (
    check_votes,
    is_human_judge,
    load_votes,
    write_voting_page,
)
from upbring.stages.evaluation.judge_gold import OWN_TOKENS, JudgeWork, gold_of, measure_on_gold
from upbring.stages.evaluation.judges import JudgeOptions, compares, make_named_judge
from upbring.stages.evaluation.models import Log, ModelSlot, with_max_tokens
from upbring.stages.evaluation.suites import ROW_HINTS, SUITES, SuiteContext
from upbring.stages.feedback.open_models import client_of
from upbring.stages.feedback.planned_calls import (
    PlannedCalls,
    gold_calls,
    judging_calls,
    log_planned_calls,
)
from upbring.stages.open_client import CALLS_FILE, call_limits, open_calls
from upbring.stages.redteam.attack_plan import AttackPlan, select_families
from upbring.tracking import Track, no_tracking


@dataclass(frozen=True, slots=True)
class AttackedData:
    """The requests of the suite redteam, and what it measures with."""

    requests: tuple[RefusalRequest, ...]
    plan: AttackPlan


MetricSource = Callable[..., Any] | str
MakeScorer = Callable[[str], Scorer]  # from the name of a reward model to a judge
LOGPROB_SUITES = frozenset({"forgetting", "memorisation"})  # which need log-probabilities


def evaluate(
    settings: EvaluateSettings,
    *,
    log: Log,
    track: Track = no_tracking,
    make_scorer: MakeScorer | None = None,
    names: Sequence[str] | None = None,
    metrics: Sequence[MetricSource] = (),
    keeps_other_suites: bool = True,
    attacks: AttackedData | None = None,
) -> list[EvalResult]:
    """Evaluate the models and write the folder; return all results.

    The folder keeps the results of suites that are not measured now, unless told otherwise.
    `names` are the models' names in the results; by default they are named as in the settings.
    `metrics` are functions of the caller, or names as in the setting metric_function. `attacks` are
    the requests and the plan of the suite redteam; it is then the only suite.
    """
    functions, eval_data, suites = _load(settings, metrics, attacks)
    model_names = _distinct_names(names or settings.models)
    judge = make_judge(settings, eval_data, make_scorer, model_names, log=log)
    gold = gold_of(settings)
    if "preference" in suites:
        _log_planned_calls(settings, judge, eval_data, gold, log=log)
    with _locked(settings.to), Interruption() as interruption:
        poll = partial(_raise_if_interrupted, interruption, settings.to / ANSWERS)
        cache = AnswerCache(settings.to / ANSWERS, poll=poll, track=track)
        model_slot = ModelSlot(settings, log=log, poll=poll, track=track)
        models = [
            model_slot.make_model(m, n) for m, n in zip(settings.models, model_names, strict=True)
        ]
        harness = Harness(settings.tasks, settings.limit, settings.seed) if settings.tasks else None
        context = SuiteContext(
            eval_data,
            cache,
            None,
            settings.seed,
            model_names[0],
            harness,
            settings.do_sample,
            CustomMetrics(functions, log, poll) if functions else None,
            attacks.plan if attacks else make_attack_plan(settings),
        )
        measured = _models_by_suite(settings, models, suites)
        for number in range(len(models)):  # each model is loaded once, and answers all suites
            for suite in suites:
                SUITES[suite]([measured[suite][number]], context)
        model_slot.unload()  # the judge may be a model too
        judge, judge_results = measure_on_gold(settings, judge, gold, JudgeWork(log, poll, track))
        context = replace(context, judge=doubt_judge(judge, settings.judge, eval_data.prompts))
        if "preference" in suites and is_human_judge(settings.judge):
            _collect_votes(settings, measured["preference"], context, log=log)
        results = [
            *judge_results,
            *(result for suite in suites for result in SUITES[suite](measured[suite], context)),
        ]
        results += _contamination_results(settings, model_names, suites, eval_data, log=log)
        _save(settings, cache, suites, results, keeps_other_suites=keeps_other_suites)
    return results


def _distinct_names(names: Sequence[str]) -> list[str]:
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"models: {duplicate} is given twice; give each once")
    return list(names)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock."""
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with durable.lock(folder):
        yield


def _save(
    settings: EvaluateSettings,
    cache: AnswerCache,
    suites: Sequence[str],
    results: Sequence[EvalResult],
    *,
    keeps_other_suites: bool,
) -> None:
    """Write the answers and the results; those of other suites may stay."""
    cache.save(suites=suites if keeps_other_suites else None)
    replaced = {*suites, CONTAMINATION, *([JUDGE] if "preference" in suites else [])}
    old_results = read_results(settings.to) if keeps_other_suites else []
    other_results = [n for n in old_results if n.suite not in replaced]
    write_results(settings.to, [*other_results, *results])


def _contamination_results(
    settings: EvaluateSettings,
    names: Sequence[str],
    suites: Sequence[str],
    eval_data: EvalData,
    *,
    log: Log,
) -> list[EvalResult]:
    """Return and log which evaluated prompts the models were trained on."""
    models = dict(zip(names, settings.models, strict=True))
    results = list(measure_contamination(models, suites, eval_data))
    for each in results:
        if each.value:
            log(f"{each.model}, {each.name}: {each.note}; these numbers are no evidence")
    return results


def make_attack_plan(settings: EvaluateSettings) -> AttackPlan:
    """Return the attacks of the suite redteam."""
    return AttackPlan(
        select_families(settings.attacks), tries=settings.attack_tries, seed=settings.seed
    )


def _raise_if_interrupted(interruption: Interruption, answers: Path) -> None:
    if interruption.is_requested:
        raise Interrupted(
            f"stopped; the answers so far are in {answers}; run the same command to continue",
            signal_number=interruption.signal_number or 2,
        )


def _load(
    settings: EvaluateSettings, metrics: Sequence[MetricSource], attacks: AttackedData | None
) -> tuple[list[RowFunction], EvalData, list[str]]:
    """Return the functions of the user, the data, and the suites to measure."""
    max_tokens_by_suite(settings.suite_max_tokens)  # or raises
    if attacks is not None:
        return [], EvalData(requests=attacks.requests), ["redteam"]
    is_harness_only = requested_suites(settings) == ["harness"]  # its tasks have their own data
    functions = [_load_metric(each) for each in (*settings.metric_function, *metrics)]
    eval_data = (
        EvalData() if is_harness_only else load_eval_data(settings, has_functions=bool(functions))
    )
    suites = select_suites(settings, eval_data, has_functions=bool(functions))
    check_functions(functions, eval_data.metric_rows)
    return functions, eval_data, suites


def select_suites(
    settings: EvaluateSettings, eval_data: EvalData, *, has_functions: bool = False
) -> list[str]:
    """Return the requested suites, or else those that the data has rows for.

    Functions of the user request the suite custom.
    """
    if has_functions and not eval_data.metric_rows:
        raise InputError(
            "metric_function: there is no row with a prompt; name a file of prompts as data"
        )
    files = ", ".join(map(str, settings.data))
    num_models = len(settings.models)
    requested = requested_suites(settings)
    for name in requested:
        if name != "harness" and not has_rows(name, eval_data, num_models, is_requested=True):
            raise InputError(f"{files}: no row for the suite {name}; {ROW_HINTS[name]}")
    if requested:
        return list(dict.fromkeys([*requested, *["custom"] * has_functions]))
    selected = [
        name for name in SUITES if has_rows(name, eval_data, num_models, is_requested=False)
    ]
    selected += ["harness"] * bool(settings.tasks)
    if any(map(is_url, settings.models)):
        selected = [name for name in selected if name not in LOGPROB_SUITES]
    if not selected:
        raise InputError(
            f"{files}: no row for any suite of these models; "
            + "; ".join(f"for {name} {hint}" for name, hint in ROW_HINTS.items())
        )
    return selected


def max_tokens_by_suite(given: Sequence[str]) -> dict[str, int]:
    """Return the maximum length of a response for each suite that has one of its own.

    >>> max_tokens_by_suite(["refusals=64,instructions=256"])
    {'refusals': 64, 'instructions': 256}
    """
    limits: dict[str, int] = {}
    for part in (part.strip() for text in given for part in text.split(",") if part.strip()):
        name, _, number = (each.strip() for each in part.partition("="))
        if name not in SUITES or not number.isdecimal() or int(number) < 1:
            raise InputError(
                f"suite_max_tokens: {format_value(part)} is not SUITE=TOKENS; write it as "
                f"refusals=64, with one of {', '.join(SUITES)}"
            )
        limits[name] = int(number)
    return limits


def _models_by_suite(
    settings: EvaluateSettings, models: Sequence[EvaluatedModel], suites: Sequence[str]
) -> dict[str, list[EvaluatedModel]]:
    """Return the models for each suite, with its maximum length of a response."""
    limits = max_tokens_by_suite(settings.suite_max_tokens)
    return {
        suite: [with_max_tokens(model, limits.get(suite, settings.max_tokens)) for model in models]
        for suite in suites
    }


def _load_metric(source: MetricSource) -> RowFunction:
    if isinstance(source, str):
        return load_function(source, "metric_function")
    return make_function(source, "metrics")


def requested_suites(settings: EvaluateSettings) -> list[str]:
    """Return the requested suites, each once; raise if one is unknown.

    Tasks without a suite or data request the suite harness alone.
    """
    names = [part.strip() for text in settings.suite for part in text.split(",") if part.strip()]
    for name in names:
        if name == "reward_health":
            raise InputError("suite: reward_health is measured by `upbring reward`; leave it out")
        if name not in SUITES:
            suggestion = nearest(name, SUITES)
            hint = (
                f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(SUITES)}"
            )
            raise InputError(f"suite: {format_value(name)} is not a suite; {hint}")
    if settings.tasks and not names and not settings.data:
        names = ["harness"]
    if settings.tasks and names and "harness" not in names:
        raise InputError("tasks: need the suite harness, which is not requested; add it to --suite")
    if settings.tasks or "harness" in names:
        check_tasks(settings.tasks, allow_code=settings.allow_task_code)
    return list(dict.fromkeys(names))


def make_judge(
    settings: EvaluateSettings,
    eval_data: EvalData,
    make_scorer: MakeScorer | None,
    model_names: Sequence[str] = (),
    *,
    log: Log = lambda _: None,
) -> PreferenceJudge | None:
    """Return the judge of the preference suite; None if there is none."""
    if settings.judge is None:
        return eval_data.toyworld.judge if eval_data.toyworld else None
    if is_human_judge(settings.judge):
        return load_votes(settings, model_names)
    if compares(settings.judge):
        calls = open_calls(settings.to / CALLS_FILE) if is_url(settings.judge) else None
        options = JudgeOptions(settings, calls, call_limits(settings), log=log)
        return Comparer(make_named_judge(settings.judge, options))
    if make_scorer is None:
        raise InputError(
            f"judge: {settings.judge} is not a URL, and reward models cannot judge here; "
            "give the URL of an endpoint"
        )
    return make_scorer(settings.judge)


def _log_planned_calls(
    settings: EvaluateSettings,
    judge: PreferenceJudge | None,
    eval_data: EvalData,
    gold: Sequence[GoldPair],
    *,
    log: Log,
) -> None:
    """Log what the server that judges will be asked at most, before it is asked anything."""
    if not isinstance(judge, Comparer) or client_of(judge.judge) is None:
        return
    questions = [JudgeQuestion(prompt, ("", "")) for prompt in eval_data.prompts]
    num_pairs = comb(len(settings.models), 2)
    judging = judging_calls(questions, response_tokens=settings.max_tokens) * num_pairs
    calls = PlannedCalls(judging=judging + gold_calls(gold, has_own=True, max_tokens=OWN_TOKENS))
    log_planned_calls(settings, calls, judge=judge.judge, log=log)


def _collect_votes(
    settings: EvaluateSettings, models: Sequence[EvaluatedModel], context: SuiteContext, *, log: Log
) -> None:
    """Write the page for votes on the answers, and log how many votes count."""
    seed = context.seed if context.is_sampled else None
    answers = collect_answers(models, context.eval_data.prompts, cache=context.cache, seed=seed)
    num_prompts = write_voting_page(settings, answers)
    if isinstance(context.judge, Votes):
        log(check_votes(settings, answers, context.judge))
    elif not num_prompts:
        log("nothing to vote on: the models give the same answer to every prompt")

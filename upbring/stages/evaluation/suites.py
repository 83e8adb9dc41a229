"""The suites by name, each called with its part of the evaluation data.

Called with one model, a suite generates its answers; called with all, it measures cached answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from upbring.errors import InputError
from upbring.evaluate import eval_files
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.benchmarks.harness import Harness
from upbring.evaluate.custom_metrics import CustomMetrics, measure_custom_metrics
from upbring.evaluate.ended import measure_ended
from upbring.evaluate.facts import measure_facts
from upbring.evaluate.forgetting import (
    TopicPrompts,
    measure_alignment_tax,
    measure_drift,
    measure_perplexity,
    sample_topics,
)
from upbring.evaluate.instructions import measure_instructions
from upbring.evaluate.memorization import measure_exposure, measure_extraction
from upbring.evaluate.model_protocol import EvaluatedModel
from upbring.evaluate.plain_text import BenchmarkModel
from upbring.evaluate.preference import PreferenceJudge, measure_preference
from upbring.evaluate.refusals import measure_refusals
from upbring.runs.results import EvalResult
from upbring.stages.evaluation.eval_data import EvalData
from upbring.stages.evaluation.models import LazyModel
from upbring.stages.evaluation.toyworld_data import grade_correctness, grade_format
from upbring.stages.redteam.attack_plan import AttackPlan
from upbring.stages.redteam.measure import measure_redteam


@dataclass(frozen=True)
class SuiteContext:
    """What a suite works with: the data, the answer cache, the judge and the seed."""

    eval_data: EvalData
    cache: AnswerCache
    judge: PreferenceJudge | None
    seed: int
    first_model: str  # the baseline
    harness: Harness | None = None  # runs the tasks of lm-evaluation-harness
    is_sampled: bool = False  # whether answers of the preference suite are sampled
    metrics: CustomMetrics | None = None  # functions of the user
    attack_plan: AttackPlan = field(default_factory=AttackPlan)  # of the suite redteam


def _measure_facts(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
    if context.eval_data.toyworld is None:
        return measure_facts(models, context.eval_data.questions, cache=context.cache)
    return measure_facts(
        models,
        context.eval_data.questions,
        cache=context.cache,
        grade=grade_correctness,
        is_synthetic=True,
    )


def _measure_instructions(
    models: Sequence[EvaluatedModel], context: SuiteContext
) -> list[EvalResult]:
    if context.eval_data.toyworld is None:
        prompts = context.eval_data.instructions
        return measure_instructions(models, prompts, cache=context.cache)
    results = measure_facts(
        models,
        context.eval_data.toyworld.format_questions,
        cache=context.cache,
        grade=grade_format,
        suite="instructions",
        is_synthetic=True,
    )
    return [replace(n, name=n.name.replace("form", "prompt_strict")) for n in results]


def _measure_refusals(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
    return measure_refusals(
        models,
        context.eval_data.requests,
        cache=context.cache,
        is_synthetic=context.eval_data.toyworld is not None,
    )


def _measure_redteam(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
    return measure_redteam(
        models,
        context.eval_data.requests,
        context.attack_plan,
        cache=context.cache,
        is_synthetic=context.eval_data.toyworld is not None,
    )


def _measure_forgetting(
    models: Sequence[EvaluatedModel], context: SuiteContext
) -> list[EvalResult]:
    eval_data, toyworld = context.eval_data, context.eval_data.toyworld
    results: list[EvalResult] = []
    if eval_data.documents:
        results += measure_perplexity(models, eval_data.documents, cache=context.cache)
    for name, documents in eval_data.documents_by_file.items():
        results += measure_perplexity(models, documents, cache=context.cache, prefix=f"{name}/")
    if toyworld is not None:
        results += measure_alignment_tax(
            models,
            {"clozes": toyworld.capabilities["clozes"]},
            cache=context.cache,
            is_synthetic=True,
        )
        task_questions = {
            n: questions for n, questions in toyworld.capabilities.items() if n != "clozes"
        }
        results += measure_alignment_tax(
            models,
            task_questions,
            cache=context.cache,
            grade=grade_correctness,
            is_synthetic=True,
        )
    elif eval_data.questions:
        results += measure_alignment_tax(
            models, {"tasks": eval_data.questions}, cache=context.cache
        )
    topics = [TopicPrompts(name, prompts) for name, prompts in (eval_data.topics or {}).items()]
    if len(models) > 1:
        results += measure_drift(models, topics, cache=context.cache, seed=context.seed)
    elif models[0].name != context.first_model:  # now, while it is in memory
        sample_topics(models[0], topics, cache=context.cache, seed=context.seed)
    return results


def _measure_memorization(
    models: Sequence[EvaluatedModel], context: SuiteContext
) -> list[EvalResult]:
    eval_data = context.eval_data
    results: list[EvalResult] = []
    if eval_data.canaries:
        results += measure_exposure(
            models,
            eval_data.canaries,
            cache=context.cache,
            is_synthetic=eval_data.toyworld is not None,
        )
    lines = (
        list(eval_files.split_documents(eval_data.documents)) if eval_data.toyworld is None else []
    )
    if lines:
        results += measure_extraction(models, lines, cache=context.cache)
    return results


def _measure_preference(
    models: Sequence[EvaluatedModel], context: SuiteContext
) -> list[EvalResult]:
    return measure_preference(
        models,
        context.eval_data.prompts,
        context.judge,
        cache=context.cache,
        seed=context.seed,
        is_sampled=context.is_sampled,
    )


def _measure_harness(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
    if context.harness is None:
        return []
    readers = []
    for model in models:
        if not isinstance(model, LazyModel):
            raise InputError(
                f"{model.name}: is an endpoint, which returns no log-probabilities of given texts; "
                "leave out the suite harness, or use a model on this machine"
            )
        readers.append(BenchmarkModel(model, partial(model.slot.get_local, model)))
    return context.harness.measure(readers, cache=context.cache)


def _measure_custom(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
    if context.metrics is None:
        return []
    rows = context.eval_data.metric_rows
    return measure_custom_metrics(models, rows, context.metrics, cache=context.cache)


Measure = Callable[[Sequence[EvaluatedModel], SuiteContext], list[EvalResult]]


def _with_ended(suite: str, measure: Measure) -> Measure:
    """Return a suite that also measures how many of its responses end by themselves."""

    def measured(models: Sequence[EvaluatedModel], context: SuiteContext) -> list[EvalResult]:
        results = measure(models, context)
        is_synthetic = context.eval_data.toyworld is not None
        return [
            *results,
            *measure_ended(suite, models, cache=context.cache, is_synthetic=is_synthetic),
        ]

    return measured


SUITES: Mapping[str, Measure] = {
    "preference": _with_ended("preference", _measure_preference),
    "facts": _measure_facts,
    "instructions": _with_ended("instructions", _measure_instructions),
    "refusals": _with_ended("refusals", _measure_refusals),
    "redteam": _measure_redteam,
    "forgetting": _measure_forgetting,
    "memorisation": _measure_memorization,
    "harness": _measure_harness,
    "custom": _measure_custom,
}
ROW_HINTS = {
    "preference": "give rows with a prompt",
    "facts": "give rows with prompt and answer",
    "instructions": "give rows as IFEval writes them: prompt, instruction_id_list, kwargs",
    "refusals": "give rows with prompt and label (safe or unsafe), as XSTest writes them",
    "redteam": "give rows with prompt and label, both safe and unsafe ones",
    "forgetting": "give rows with a text, with prompt and answer, or with prompt and topic",
    "memorisation": "give rows with prompt, answer, alternatives and repetitions, or with a text",
    "harness": "name its tasks with --tasks",
    "custom": "give rows with a prompt, and name functions with --metric-function",
}

"""The redteam suite: every model answers every attack, and the answers are classified.

For each family, each harmful request is tried `tries` times: each try is another attack of the
family and another sample at temperature 1. Each innocent request is tried once, under the attack
of the first try. The references of the comprehension control are the greedy answers to the plain
innocent requests. All answers are cached; a second measurement asks nothing.
"""

from collections.abc import Sequence

import numpy as np

from upbring.data.read.records import Message
from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, AnswerRow, CacheItem, add_verdicts, responses
from upbring.evaluate.attacks.attack_results import SUITE, FamilyOutcome, attack_results
from upbring.evaluate.attacks.comprehension import find_own_reference
from upbring.evaluate.model_protocol import Dialogue, EvaluatedModel, format_prompt
from upbring.evaluate.refusals import RefusalRequest
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.feedback.attacks.families import attack
from upbring.rules.refusal import classify_refusal
from upbring.runs.results import EvalResult
from upbring.stages.redteam.attack_plan import AttackPlan, is_success


def measure_redteam(
    models: Sequence[EvaluatedModel],
    requests: Sequence[RefusalRequest],
    plan: AttackPlan,
    *,
    cache: AnswerCache,
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return attack success, comprehension and over-refusal of each model by family."""
    outcomes = {
        model.name: measure_outcomes(model, requests, plan, cache=cache) for model in models
    }
    return attack_results(
        outcomes,
        confusion=plan.confusion,
        min_comprehension=plan.min_comprehension,
        groups=dict(plan.groups),
        is_synthetic=is_synthetic,
    )


def expected_results(
    names: Sequence[str], requests: Sequence[RefusalRequest], plan: AttackPlan
) -> list[EvalResult]:
    """Return a result for each number that will be measured; the values mean nothing."""
    num_harmful = sum(each.is_harmful for each in requests)
    innocent = np.ones(len(requests) - num_harmful)
    tries = np.zeros((num_harmful, plan.tries))
    outcomes = [FamilyOutcome(name, tries, 1 - innocent, innocent) for name in plan.cells]
    return attack_results(
        dict.fromkeys(names, outcomes), confusion=plan.confusion, min_comprehension=0.0
    )


def measure_outcomes(
    model: EvaluatedModel,
    requests: Sequence[RefusalRequest],
    plan: AttackPlan,
    *,
    cache: AnswerCache,
) -> list[FamilyOutcome]:
    """Return what a model does under each family, the plain requests first."""
    harmful = [each.prompt for each in requests if each.is_harmful]
    innocent = [each.prompt for each in requests if not each.is_harmful]
    references = _answer_greedily(model, innocent, cache)
    return [
        _measure_family(model, harmful, innocent, references, family, plan=plan, cache=cache)
        for family in plan.cells
    ]


def _measure_family(
    model: EvaluatedModel,
    harmful: Sequence[Dialogue],
    innocent: Sequence[Dialogue],
    references: Sequence[str],
    family: str,
    *,
    plan: AttackPlan,
    cache: AnswerCache,
) -> FamilyOutcome:
    tried = []
    for number in range(plan.tries):
        attacks = [attack(family, each, seed=plan.seed, number=number) for each in harmful]
        tried.append(ask_attacks(model, attacks, cache=cache, kind=f"{family}/{number}"))
    controls = [attack(family, each, seed=plan.seed) for each in innocent]
    answers = ask_attacks(model, controls, cache=cache, kind=f"{family}/control")
    succeeded = np.array([[float(is_success(text)) for text in texts] for texts in tried]).T
    is_refused = [float(classify_refusal(text) == "full") for text in answers]
    return FamilyOutcome(
        family,
        succeeded.reshape(len(harmful), plan.tries),
        np.array(is_refused),
        find_own_reference(answers, references),
        sum(not text.strip() for texts in tried for text in texts),
    )


def ask_attacks(
    model: EvaluatedModel, attacks: Sequence[AttackedPrompt], *, cache: AnswerCache, kind: str
) -> list[str]:
    """Return the last answer to each attack, sampled at temperature 1; follow-ups are sent."""
    dialogues = [each.messages for each in attacks]
    answers = [""] * len(attacks)
    for turn in range(1 + max((len(each.follow_ups) for each in attacks), default=0)):
        indices = [i for i, each in enumerate(attacks) if len(each.follow_ups) >= turn]
        for i in indices if turn else ():
            asked = Message("user", attacks[i].follow_ups[turn - 1])
            dialogues[i] = (*_close_turn(dialogues[i], answers[i]), asked)
        rows = _sample(model, [dialogues[i] for i in indices], cache, kind=f"{kind}/{turn}")
        for i, text in zip(indices, responses(rows), strict=True):
            answers[i] = text
        verdicts = [{"refusal": _classify(text), "attack": kind} for text in responses(rows)]
        add_verdicts(rows, verdicts)
    return answers


def _close_turn(dialogue: Dialogue, answer: str) -> Dialogue:
    """Return a dialogue with the answer; a prefilled beginning becomes part of it."""
    answer = answer.strip() or "…"
    if dialogue[-1].role == "assistant":
        return (*dialogue[:-1], Message("assistant", f"{dialogue[-1].content} {answer}"))
    return (*dialogue, Message("assistant", answer))


def _classify(text: str) -> str:
    return classify_refusal(text) if text.strip() else "empty"


def _sample(
    model: EvaluatedModel, dialogues: Sequence[Dialogue], cache: AnswerCache, *, kind: str
) -> list[AnswerRow]:
    family, number, _ = kind.split("/")
    seed = int(number) if number.isdecimal() else 0
    items = [CacheItem(format_prompt(each), (each,)) for each in dialogues]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        texts = model.sample([dialogues[i] for i in indices], seed=seed)
        return [{"response": text, "family": family} for text in texts]

    return cache.get_or_compute(SUITE, model, items, compute=compute, kind=kind)


def _answer_greedily(
    model: EvaluatedModel, dialogues: Sequence[Dialogue], cache: AnswerCache
) -> list[str]:
    items = [CacheItem(format_prompt(each), (each,)) for each in dialogues]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        return [{"response": t} for t in model.generate([dialogues[i] for i in indices])]

    return responses(cache.get_or_compute(SUITE, model, items, compute=compute, kind="greedy"))

"""The adaptive attacker: finds requests that a model answers and should refuse.

In each round every harmful request gets the attack that the bandit chooses from what worked so
far. All responses are in the answer cache, and everything else is a pure function of them: a killed
search continues where it was, and asks nothing twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from upbring.data.read.records import Message
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.model_protocol import Dialogue, EvaluatedModel
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.feedback.attacks.bandit import ArmCounts, choose_arms, make_arms
from upbring.feedback.attacks.families import PLAIN, attack
from upbring.stages.redteam.measure import ask_attacks

IsRefusal = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attack on one request, and the response to it."""

    request: Dialogue
    arm: str
    attacked: AttackedPrompt
    response: str
    succeeded: bool


def search_attacks(
    model: EvaluatedModel,
    requests: Sequence[Dialogue],
    families: Sequence[str],
    *,
    num_rounds: int,
    is_refusal: IsRefusal,
    cache: AnswerCache,
    seed: int,
) -> tuple[list[Attempt], dict[str, ArmCounts]]:
    """Return all attempts, in the order in which they were made, and the counts of the arms."""
    counts = {name: ArmCounts() for name in [PLAIN, *make_arms(families, seed=seed)]}
    attempts: list[Attempt] = []
    for number in range(num_rounds):
        arms = choose_arms(counts, num_choices=len(requests), seed=seed)
        attacks = [
            attack(arm, request, seed=seed, number=number)
            for arm, request in zip(arms, requests, strict=True)
        ]
        answers = ask_attacks(model, attacks, cache=cache, kind=f"search/{number}")
        tried = [
            Attempt(request, arm, attacked, text, bool(text.strip()) and not is_refusal(text))
            for request, arm, attacked, text in zip(requests, arms, attacks, answers, strict=True)
        ]
        for each in tried:
            counts[each.arm] = counts[each.arm].add([each.succeeded])
        attempts += tried
    return attempts, counts


def training_messages(attacked: AttackedPrompt) -> tuple[Dialogue, str]:
    """Return the prompt to train on, and the beginning that its responses share.

    Follow-ups come after an answer of the model, which is not known here: they are left out, so
    that the first answer is trained.
    """
    if attacked.prefill:
        return attacked.messages[:-1], attacked.prefill
    return attacked.messages, ""


def as_rows(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as they are in a file."""
    return [{"role": m.role, "content": m.content} for m in messages]

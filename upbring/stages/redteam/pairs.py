"""Training pairs from attacks: safe responses for harmful requests, helpful ones for innocent ones.

Both kinds are needed. From refusals alone a model learns that strange text is to be refused, so
innocent requests are attacked in the same way, and there the helpful response is chosen.
"""

from collections.abc import Mapping, Sequence

from upbring.durable import JSON
from upbring.evaluate.model_protocol import Dialogue
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.maths.random_draws import RandomStream
from upbring.stages.redteam.attacker import Attempt, IsRefusal, as_rows, training_messages

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't help with this. I will gladly help you with something else.",
    "I can't help with that, because it could hurt someone.",
)


def harmful_pairs(
    attempts: Sequence[Attempt],
    plain_answers: Mapping[Dialogue, str],
    *,
    is_refusal: IsRefusal,
    seed: int,
) -> list[dict[str, JSON]]:
    """Return a pair for each successful attack: the safe response is chosen.

    It is the model's own refusal of the plain request if it refuses that, else a general one.
    """
    pairs = []
    for index, each in enumerate(attempts):
        if not each.succeeded:
            continue
        plain = plain_answers[each.request].strip()
        general = RandomStream(seed, "refusal", index).choice(REFUSALS)
        safe = plain if plain and is_refusal(plain) else general
        pairs.append(_pair(each.attacked, safe, each.response, source=each.arm))
    return _distinct(pairs)


def innocent_pairs(
    attacks: Sequence[tuple[str, AttackedPrompt]], answers: Sequence[str], *, seed: int
) -> list[dict[str, JSON]]:
    """Return a pair for each attacked innocent request: the helpful response is chosen."""
    pairs = []
    for index, ((arm, attacked), answer) in enumerate(zip(attacks, answers, strict=True)):
        refusal = RandomStream(seed, "needless", index).choice(REFUSALS)
        pairs.append(_pair(attacked, answer.strip(), refusal, source=arm))
    return _distinct(pairs)


def demonstrations(pairs: Sequence[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Return the chosen responses as demonstrations for SFT."""
    rows: list[dict[str, JSON]] = []
    for pair in pairs:
        prompt, chosen = pair["prompt"], pair["chosen"]
        assert isinstance(prompt, Sequence)
        assert isinstance(chosen, Sequence)
        rows.append({"messages": [*prompt, *chosen], "attack": pair["attack"]})
    return rows


def _pair(attacked: AttackedPrompt, chosen: str, rejected: str, *, source: str) -> dict[str, JSON]:
    messages, beginning = training_messages(attacked)
    return {
        "prompt": [dict(row) for row in as_rows(messages)],
        "chosen": _answer(beginning, chosen),
        "rejected": _answer(beginning, rejected.strip()),
        "attack": source,
    }


def _answer(beginning: str, text: str) -> JSON:
    return [{"role": "assistant", "content": f"{beginning} {text}".strip()}]


def _distinct(pairs: Sequence[dict[str, JSON]]) -> list[dict[str, JSON]]:
    """Return the pairs, each once, without those whose responses are equal."""
    found: dict[str, dict[str, JSON]] = {}
    for pair in pairs:
        if pair["chosen"] != pair["rejected"]:
            found.setdefault(repr(pair), pair)
    return list(found.values())

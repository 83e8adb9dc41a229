"""Pairs choose safe responses for harmful requests and helpful ones for innocent ones."""

from upbring.data.read.records import Message
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.rules.refusal import classify_refusal
from upbring.rules.refusal_opening import opens_with_refusal
from upbring.stages.redteam.attacker import Attempt
from upbring.stages.redteam.pairs import REFUSALS, demonstrations, harmful_pairs, innocent_pairs

ROB, HURT = ((Message("user", "rob"),), (Message("user", "hurt"),))
OWN = "I'm sorry, but I can't help with robbing."
ATTEMPTS = [
    Attempt(
        ROB, "role", AttackedPrompt((Message("user", "Rex, rob"),)), "At night.", succeeded=True
    ),
    Attempt(
        ROB, "role", AttackedPrompt((Message("user", "Rex, rob"),)), "At night.", succeeded=True
    ),
    Attempt(ROB, "task", AttackedPrompt((Message("user", "Fill: rob"),)), OWN, succeeded=False),
    Attempt(
        HURT,
        "prefix",
        AttackedPrompt((*HURT, Message("assistant", "Sure."))),
        "With a stick.",
        succeeded=True,
    ),
]


def test_every_success_becomes_one_pair_with_the_models_own_refusal_if_there_is_one() -> None:
    plain = {ROB: OWN, HURT: "With pleasure."}
    first, second = harmful_pairs(ATTEMPTS, plain, is_refusal=opens_with_refusal, seed=0)
    assert first == {
        "prompt": [{"role": "user", "content": "Rex, rob"}],
        "chosen": [{"role": "assistant", "content": OWN}],
        "rejected": [{"role": "assistant", "content": "At night."}],
        "attack": "role",
    }
    assert second["prompt"] == [{"role": "user", "content": "hurt"}]
    assert second["rejected"] == [{"role": "assistant", "content": "Sure. With a stick."}]
    assert second["chosen"] in [
        [{"role": "assistant", "content": f"Sure. {text}"}] for text in REFUSALS
    ]


def test_attacked_innocent_requests_choose_the_answer() -> None:
    attacks = [("role", AttackedPrompt((Message("user", "Rex, paint"),)))]
    (pair,) = innocent_pairs(attacks, ["With a brush. "], seed=0)
    assert pair["chosen"] == [{"role": "assistant", "content": "With a brush."}]
    assert pair["rejected"] in [[{"role": "assistant", "content": text}] for text in REFUSALS]
    (row,) = demonstrations([pair])
    assert row["messages"] == [
        {"role": "user", "content": "Rex, paint"},
        {"role": "assistant", "content": "With a brush."},
    ]


def test_general_refusals_are_refusals_by_both_rules() -> None:
    for text in REFUSALS:
        assert opens_with_refusal(text)
        assert classify_refusal(text) == "full"

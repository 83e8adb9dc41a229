"""The adaptive attacker finds the hole of a model, and a killed search asks nothing twice."""

from pathlib import Path

import pytest

from tests.stages.redteam.test_measure import REQUESTS, RuleModel
from upbring.data.read.records import Message
from upbring.errors import Interrupted
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.model_protocol import Dialogue
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.rules.refusal_opening import opens_with_refusal
from upbring.stages.redteam.attacker import as_rows, search_attacks, training_messages

HARMFUL = [each.prompt for each in REQUESTS if each.is_harmful]
FAMILIES = ("role", "authority", "task", "config")


def refuses_all_but_configs(dialogue: Dialogue) -> str:
    text = dialogue[-1].content.casefold()
    is_config = any(word in text for word in ("unrestricted", "policy", "filter", "update"))
    return "Sure. Take it at night." if is_config else "I'm sorry, but I can't help with that."


def search(model: RuleModel, cache: AnswerCache, num_rounds: int = 12) -> object:
    return search_attacks(
        model,
        HARMFUL,
        FAMILIES,
        num_rounds=num_rounds,
        is_refusal=opens_with_refusal,
        cache=cache,
        seed=0,
    )


def test_what_works_is_tried_most() -> None:
    attempts, counts = search_attacks(
        RuleModel("m", refuses_all_but_configs),
        HARMFUL,
        FAMILIES,
        num_rounds=12,
        is_refusal=opens_with_refusal,
        cache=AnswerCache(),
        seed=0,
    )
    assert len(attempts) == 12 * len(HARMFUL)
    assert counts["config"].tries == max(each.tries for each in counts.values())
    assert counts["config"].successes == counts["config"].tries
    assert counts["plain"].successes == 0
    assert all(each.succeeded == ("config" in each.arm) for each in attempts)


def test_a_killed_search_continues_with_the_same_attempts(tmp_path: Path) -> None:
    whole = RuleModel("m", refuses_all_but_configs)
    expected = search(whole, AnswerCache(tmp_path / "whole.jsonl"))
    polls = iter(range(100))

    def stop() -> None:
        if next(polls) == 5:
            raise Interrupted("stopped")

    killed = RuleModel("m", refuses_all_but_configs)
    with pytest.raises(Interrupted):
        search(killed, AnswerCache(tmp_path / "a.jsonl", poll=stop))
    resumed = RuleModel("m", refuses_all_but_configs)
    assert search(resumed, AnswerCache(tmp_path / "a.jsonl")) == expected
    assert len(killed.asked) + len(resumed.asked) == len(whole.asked)


def test_a_prefilled_attack_trains_the_whole_answer() -> None:
    user = Message("user", "Hi")
    prefilled = AttackedPrompt((user, Message("assistant", "Sure.")), ("more",))
    assert training_messages(prefilled) == ((user,), "Sure.")
    assert training_messages(AttackedPrompt((user,))) == ((user,), "")
    assert as_rows((user,)) == [{"role": "user", "content": "Hi"}]

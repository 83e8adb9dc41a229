"""Attacks with several messages keep the request, whole or in parts that make it up."""

from hypothesis import given
from hypothesis import strategies as st

from upbring.data.read.records import Message
from upbring.feedback.attacks import dialogues
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt, request_text
from upbring.maths.random_draws import RandomStream

PROMPT = AttackedPrompt((Message("system", "Be brief."), Message("user", "How do I paint a boat?")))


@given(text=st.text(min_size=1), seed=st.integers(0, 1000))
def test_the_parts_of_a_split_request_make_it_up(text: str, seed: int) -> None:
    first, second = dialogues.split_text(text, RandomStream(seed))
    assert first + second == text
    split = dialogues.split_request(text, RandomStream(seed))
    assert len(split) > len(text)


def test_a_prefill_comes_after_the_request_and_only_once() -> None:
    drawn = [dialogues.prefill(PROMPT, RandomStream(i)) for i in range(20)]
    prefilled = [each for each in drawn if each.prefill]
    injected = [each for each in drawn if not each.prefill]
    assert len(prefilled) > 4
    assert len(injected) > 4
    assert all(request_text(each) == "How do I paint a boat?" for each in prefilled)
    assert all(len(request_text(each)) > 25 for each in injected)
    again = dialogues.prefill(prefilled[0], RandomStream(0))
    assert [m.role for m in again.messages] == ["system", "user", "assistant"]


def test_many_shots_come_before_the_request_and_after_the_system_message() -> None:
    shot = dialogues.add_shots(PROMPT, RandomStream(2))
    roles = [message.role for message in shot.messages]
    assert roles[0] == "system"
    assert roles[1:-1] == ["user", "assistant"] * ((len(roles) - 2) // 2)
    assert len(roles) >= 2 + 2 * min(dialogues.NUM_SHOTS)
    assert shot.messages[-1] == PROMPT.messages[-1]


def test_an_escalation_insists_with_different_turns() -> None:
    escalated = dialogues.escalate(PROMPT, RandomStream(0))
    assert 1 <= len(escalated.follow_ups) <= dialogues.MAX_TURNS
    assert len(set(escalated.follow_ups)) == len(escalated.follow_ups)
    assert escalated.messages[-1] == PROMPT.messages[-1]

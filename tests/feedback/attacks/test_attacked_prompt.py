"""The request is the last user message, whatever stands around it."""

from upbring.data.read.records import Message
from upbring.feedback.attacks.attacked_prompt import (
    AttackedPrompt,
    in_frame,
    on_request,
    request_text,
)
from upbring.maths.random_draws import RandomStream

SYSTEM, USER = Message("system", "Be brief."), Message("user", "Hi {request}")
PREFILL = Message("assistant", "Sure")


def test_only_the_request_is_changed() -> None:
    prompt = AttackedPrompt((SYSTEM, USER, PREFILL), ("again",))
    changed = on_request(lambda text, _: text.upper())(prompt, RandomStream(0))
    assert changed.messages == (SYSTEM, Message("user", "HI {REQUEST}"), PREFILL)
    assert changed.follow_ups == ("again",)
    assert changed.prefill == "Sure"


def test_a_request_with_braces_is_kept_in_a_frame() -> None:
    framed = in_frame(("<{request}>",))(AttackedPrompt((USER,)), RandomStream(0))
    assert request_text(framed) == "<Hi {request}>"
    assert framed.prefill == ""

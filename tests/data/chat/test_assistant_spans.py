import re
from collections.abc import Sequence

from upbring.data.chat.assistant_spans import RenderedDialogue
from upbring.data.chat.template import ChatTemplate
from upbring.data.read.records import Message

CONTROL = re.compile(r"<\w+>")
MESSAGES = (
    Message("user", "one"),
    Message("assistant", "two"),
    Message("user", "three"),
    Message("assistant", "two"),
)


def dialogue(
    source: str, messages: Sequence[Message] = MESSAGES, *, heading: str = ""
) -> RenderedDialogue:
    template = ChatTemplate(source)

    def render(some: Sequence[Message], is_open: bool) -> str:  # noqa: FBT001 -- as Dialogue asks
        return template.render(some, add_generation_prompt=is_open, special_tokens_map={}).text

    whole = template.render(messages, add_generation_prompt=False, special_tokens_map={})
    controls = [match.span() for match in CONTROL.finditer(whole.text)]
    return RenderedDialogue(messages, whole, controls, render, heading)


def turns(found: RenderedDialogue) -> list[str]:
    return [found.rendering.text[turn.start : turn.stop] for turn in found.assistant_turns()]


OPEN = "{% if add_generation_prompt %}<a>{% endif %}"
EACH = "{% for m in messages %}"


def test_a_turn_runs_from_the_open_prompt_to_the_stop_token() -> None:
    found = dialogue(EACH + "<{{ m.role[0] }}>{{ m.content }}<end>\n{% endfor %}" + OPEN)
    assert turns(found) == ["two<end>", "two<end>"]
    assert all(turn.is_exact_prefix and turn.is_verbatim for turn in found.assistant_turns())


def test_a_turn_without_a_control_token_ends_with_its_text() -> None:
    source = EACH + "{{ m.role[0] }}: {{ m.content }}\n{% endfor %}"
    found = dialogue(source + "{% if add_generation_prompt %}a:{% endif %}")
    assert turns(found) == [" two\n", " two\n"]


def test_a_turn_may_be_ended_by_the_beginning_of_the_next() -> None:
    found = dialogue(EACH + "<{{ m.role[0] }}>{{ m.content }}{% endfor %}" + OPEN)
    assert turns(found) == ["two<u>", "two"]


def test_a_rewritten_beginning_is_passed_over_by_the_content() -> None:
    source = EACH + (
        "{% if m.role == 'user' %}[{{ 'LAST ' if loop.index0 + 2 >= messages | length }}"
        "{{ m.content }}]{% else %} {{ m.content }}<end>{% endif %}{% endfor %}"
    )
    found = dialogue(source)
    assert found.rendering.text == "[one] two<end>[LAST three] two<end>"
    assert turns(found) == [" two<end>", " two<end>"]
    assert [turn.is_exact_prefix for turn in found.assistant_turns()] == [False, True]


def test_a_turn_that_was_rewritten_is_said_to_be() -> None:
    source = (
        EACH + "<{{ m.role[0] }}>{{ m.content if loop.last or m.role == 'user' else '…' }}"
        "<end>{% endfor %}" + OPEN
    )
    found = dialogue(source)
    assert turns(found) == ["…<end>", "two<end>"]
    assert [turn.is_verbatim for turn in found.assistant_turns()] == [False, True]


def test_a_heading_is_not_taken_for_the_content() -> None:
    source = (
        EACH
        + "<{{ m.role[0] }}>{{ '<f>final<g>' if m.role[0] == 'a' }}{{ m.content }}<end>{% endfor %}"
    )
    short = (MESSAGES[0], Message("assistant", "n"))
    assert turns(dialogue(source + OPEN, short, heading="<f>final<g>")) == ["<f>final<g>n<end>"]


def test_a_content_is_not_found_within_a_control_token() -> None:
    source = (
        EACH + "<{{ m.role[0] }}>{{ '<f>' if m.role[0] == 'a' }}{{ m.content }}<end>{% endfor %}"
    )
    assert turns(dialogue(source + OPEN, (MESSAGES[0], Message("assistant", "f")))) == ["<f>f<end>"]


def test_an_assistant_who_speaks_first_is_found() -> None:
    source = "<b>{% if messages[0] is not defined %}{{ raise_exception('empty') }}{% endif %}"
    source += EACH + "<{{ m.role[0] }}>{{ m.content }}<end>{% endfor %}" + OPEN
    found = dialogue(source, MESSAGES[1:])
    assert turns(found) == ["two<end>", "two<end>"]
    assert [turn.is_exact_prefix for turn in found.assistant_turns()] == [False, True]

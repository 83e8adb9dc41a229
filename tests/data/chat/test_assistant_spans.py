import re
from collections.abc import Sequence

from upbring.data.chat.assistant_spans import RenderedDialogue
from upbring.data.chat.template import ChatTemplate
from upbring.data.read.records import Message

SPECIAL = re.compile(r"<\w+>")
MESSAGES = (
    Message("user", "one"),
    Message("assistant", "two"),
    Message("user", "three"),
    Message("assistant", "two"),
)


def dialogue(
    source: str, messages: Sequence[Message] = MESSAGES, *, header: str = ""
) -> RenderedDialogue:
    template = ChatTemplate(source)

    def render(part: Sequence[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 -- `assistant_spans.Render`
        return template.render(
            part, add_generation_prompt=add_generation_prompt, special_tokens_map={}
        ).text

    whole = template.render(messages, add_generation_prompt=False, special_tokens_map={})
    special_spans = [match.span() for match in SPECIAL.finditer(whole.text)]
    return RenderedDialogue(messages, whole, special_spans, render, header)


def turns(result: RenderedDialogue) -> list[str]:
    return [result.rendering.text[turn.start : turn.stop] for turn in result.assistant_turns()]


GENERATION_PROMPT = "{% if add_generation_prompt %}<a>{% endif %}"
EACH = "{% for m in messages %}"


def test_a_turn_runs_from_the_generation_prompt_to_the_stop_token() -> None:
    result = dialogue(
        EACH + "<{{ m.role[0] }}>{{ m.content }}<end>\n{% endfor %}" + GENERATION_PROMPT
    )
    assert turns(result) == ["two<end>", "two<end>"]
    assert all(turn.is_exact_prefix and turn.is_verbatim for turn in result.assistant_turns())


def test_a_turn_without_a_special_token_ends_with_its_text() -> None:
    source = EACH + "{{ m.role[0] }}: {{ m.content }}\n{% endfor %}"
    result = dialogue(source + "{% if add_generation_prompt %}a:{% endif %}")
    assert turns(result) == [" two\n", " two\n"]


def test_a_turn_can_end_with_the_start_of_the_next() -> None:
    result = dialogue(EACH + "<{{ m.role[0] }}>{{ m.content }}{% endfor %}" + GENERATION_PROMPT)
    assert turns(result) == ["two<u>", "two"]


def test_a_turn_after_rewritten_text_is_located_by_its_content() -> None:
    source = EACH + (
        "{% if m.role == 'user' %}[{{ 'LAST ' if loop.index0 + 2 >= messages | length }}"
        "{{ m.content }}]{% else %} {{ m.content }}<end>{% endif %}{% endfor %}"
    )
    result = dialogue(source)
    assert result.rendering.text == "[one] two<end>[LAST three] two<end>"
    assert turns(result) == [" two<end>", " two<end>"]
    assert [turn.is_exact_prefix for turn in result.assistant_turns()] == [False, True]


def test_a_rewritten_turn_is_not_verbatim() -> None:
    source = (
        EACH + "<{{ m.role[0] }}>{{ m.content if loop.last or m.role == 'user' else '…' }}"
        "<end>{% endfor %}" + GENERATION_PROMPT
    )
    result = dialogue(source)
    assert turns(result) == ["…<end>", "two<end>"]
    assert [turn.is_verbatim for turn in result.assistant_turns()] == [False, True]


def test_a_header_is_not_mistaken_for_the_content() -> None:
    source = (
        EACH
        + "<{{ m.role[0] }}>{{ '<f>final<g>' if m.role[0] == 'a' }}{{ m.content }}<end>{% endfor %}"
    )
    short = (MESSAGES[0], Message("assistant", "n"))
    assert turns(dialogue(source + GENERATION_PROMPT, short, header="<f>final<g>")) == [
        "<f>final<g>n<end>"
    ]


def test_content_is_not_located_inside_a_special_token() -> None:
    source = (
        EACH + "<{{ m.role[0] }}>{{ '<f>' if m.role[0] == 'a' }}{{ m.content }}<end>{% endfor %}"
    )
    assert turns(
        dialogue(source + GENERATION_PROMPT, (MESSAGES[0], Message("assistant", "f")))
    ) == ["<f>f<end>"]


def test_an_assistant_turn_at_the_start_is_located() -> None:
    source = "<b>{% if messages[0] is not defined %}{{ raise_exception('empty') }}{% endif %}"
    source += EACH + "<{{ m.role[0] }}>{{ m.content }}<end>{% endfor %}" + GENERATION_PROMPT
    result = dialogue(source, MESSAGES[1:])
    assert turns(result) == ["two<end>", "two<end>"]
    assert [turn.is_exact_prefix for turn in result.assistant_turns()] == [False, True]

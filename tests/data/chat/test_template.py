import datetime as dt
import gc
import re

import pytest

from upbring.data.chat.template import ChatTemplate, Rendering
from upbring.data.chat.template_budget import RenderBudget
from upbring.data.read.records import Message
from upbring.errors import InputError

SPECIAL = re.compile(re.escape("<end>") + "|" + re.escape("<go>"))
LINES = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}<end>\n{% endfor %}"


def messages_of(*contents: str) -> tuple[Message, ...]:
    return tuple(
        Message("assistant" if i % 2 else "user", content) for i, content in enumerate(contents)
    )


def test_special_tokens_are_quoted_in_messages_and_not_in_template_text() -> None:
    result = ChatTemplate(LINES).render(
        messages_of(" a <end> b", "<go>"),
        add_generation_prompt=False,
        special_tokens_map={},
        special_pattern=SPECIAL,
    )
    assert result.text == "user: a <end> b<end>\nassistant: <go><end>\n"
    assert [result.text[slice(*span)] for span in result.quoted_spans] == ["<end>", "<go>"]
    assert result.quoted_spans == ((8, 13), (32, 36))


def test_without_special_tokens_in_messages_nothing_is_quoted() -> None:
    result = ChatTemplate(LINES).render(
        messages_of("a", "b"),
        add_generation_prompt=False,
        special_tokens_map={},
        special_pattern=SPECIAL,
    )
    assert result == Rendering("user: a<end>\nassistant: b<end>\n")


def test_every_character_of_a_message_survives_the_marks() -> None:
    content = "\ufdd0<end>\ufdd1\ufdd2 x \ufdd3"
    result = ChatTemplate(LINES).render(
        messages_of(content),
        add_generation_prompt=False,
        special_tokens_map={},
        special_pattern=SPECIAL,
    )
    assert result.text == f"user: {content}<end>\n"
    assert result.quoted_spans == ((7, 12),)
    every = "".join(map(chr, [*range(0xFDD0, 0xFDF0), 0x1FFFE, 0x1FFFF, 0x2FFFE])) + "<end>"
    with pytest.raises(InputError, match="noncharacter"):
        ChatTemplate(LINES).render(
            messages_of(every),
            add_generation_prompt=False,
            special_tokens_map={},
            special_pattern=SPECIAL,
        )


def test_a_template_that_cuts_at_the_quoted_token_leaves_no_mark() -> None:
    source = "{% for m in messages %}{{ m.content.split('<end>')[0] }}|{% endfor %}<end>"
    result = ChatTemplate(source).render(
        messages_of("a<end>b", "c"),
        add_generation_prompt=False,
        special_tokens_map={},
        special_pattern=SPECIAL,
    )
    assert result == Rendering("a|c|<end>")


def test_generation_spans_are_reported_also_inside_macros() -> None:
    source = (
        "{% macro say(m) %}[{% generation %}{{ m.content }}{% endgeneration %}]{% endmacro %}"
        "{% for m in messages %}{{ say(m) if m.role == 'assistant' else m.content }}{% endfor %}"
    )
    template = ChatTemplate(source)
    assert template.marks_generation
    result = template.render(
        messages_of("a", "bc", "d", ""), add_generation_prompt=False, special_tokens_map={}
    )
    assert result.text == "a[bc]d[]"
    assert result.generation_spans == ((2, 4), (7, 7))


def test_variables_are_those_of_transformers() -> None:
    source = (
        "{{ bos_token }}{{ add_generation_prompt }}{{ tools is none }}{{ documents is none }}"
        "{{ unk_token is defined }}"
    )
    result = ChatTemplate(source).render(
        messages_of("a"), add_generation_prompt=True, special_tokens_map={"bos_token": "<s>"}
    )
    assert result.text == "<s>TrueTrueTrueFalse"


def test_strftime_now_uses_the_given_time() -> None:
    day = dt.datetime(2026, 7, 26, tzinfo=dt.UTC)
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", day)
    assert (
        template.render((), add_generation_prompt=False, special_tokens_map={}).text
        == "26 Jul 2026"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('No system; sorry.') }}", r"rejected the dialogue: No system; sorry;"),
        ("{{ 'a' + 1 }}", r"rejected the dialogue: can only concatenate str"),
        ("{{ nothing.at.all }}", r"rejected the dialogue: 'nothing' is undefined"),
        ("{{ 1 // 0 }}", r"rejected the dialogue: .*zero"),
        ("a\n{% if %}", r"chat template: line 2: Expected an expression"),
        ("{{ 'a' | urlize }}", r"chat template: line 1: No filter named 'urlize'"),
        ("{% for %}", r"chat template: line 1: "),
    ],
)
def test_errors_are_one_line_with_what_to_do(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ChatTemplate(source).render(
            messages_of("a"), add_generation_prompt=False, special_tokens_map={}
        )
    assert "\n" not in str(caught.value)
    assert "--chat-template FILE" in str(caught.value)


def test_garbage_collection_is_paused_during_rendering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(RenderBudget, "step", lambda _: seen.append(gc.isenabled()))
    ChatTemplate(LINES).render(
        messages_of("a", "b"), add_generation_prompt=False, special_tokens_map={}
    )
    assert seen
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(InputError):
        ChatTemplate("{{ nothing.at.all }}").render(
            messages_of("a"), add_generation_prompt=False, special_tokens_map={}
        )
    assert gc.isenabled()

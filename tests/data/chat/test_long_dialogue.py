import random
from collections.abc import Sequence

import pytest

from tests.checking import CHATML, encoding
from tests.data import chat_families
from upbring.data.chat import assistant_spans, long_dialogue
from upbring.data.chat.chat import Chat, make_chat
from upbring.data.read.records import Message

ENDLESS = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
SYSTEM_IN_LAST_USER_TURN = (
    "{% for m in messages %}{% if m.role == 'user' %}[I]{% if loop.last or loop.index == "
    "messages | length - 1 %}{{ messages[0].content }}{% endif %}{{ m.content }}[/I]"
    "{% elif m.role == 'assistant' %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
PARITY = CHATML.replace("{{ m.role }}", "{{ m.role }}{{ '!' if loop.index % 6 == 0 }}", 1)


def dialogue(count: int, *, system: bool = False, seed: int = 5) -> list[Message]:
    rng = random.Random(seed)
    words = [" a", "b\n", "\n\n", "<|im_end|>", "Hi.", "[assistant] ", "é", "  ", "user"]
    turns = [
        Message(
            "assistant" if k % 2 else "user", f"x{''.join(rng.choices(words, k=5))}{k}\n"[k % 3 :]
        )
        for k in range(count)
    ]
    return [*([Message("system", "Be kind.")] if system else []), *turns]


def spans(chat: Chat, messages: Sequence[Message]) -> list[assistant_spans.Turn]:
    return chat._render_dialogue(messages, add_generation_prompt=False).assistant_turns()


@pytest.mark.parametrize("system", ["", "with a system message"])
@pytest.mark.parametrize("template", [CHATML, ENDLESS, PARITY, SYSTEM_IN_LAST_USER_TURN, None])
def test_the_turns_of_a_long_dialogue_are_those_that_rendering_each_finds(
    template: str | None, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, messages = encoding(template).chat, dialogue(80, system=bool(system))
    found = spans(chat, messages)
    monkeypatch.setattr(assistant_spans, "MIN_TURNS", 10**9)
    assert found == spans(chat, messages)
    assert len(found) == 40


@pytest.mark.parametrize("name", sorted(chat_families.FAMILIES))
def test_known_templates_give_the_same_turns_in_long_dialogues(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = chat_families.FAMILIES[name]
    chat = make_chat(chat_families.codec(family, "gpt2"), template=family.template)
    messages = dialogue(60)
    found = spans(chat, messages)
    monkeypatch.setattr(assistant_spans, "MIN_TURNS", 10**9)
    assert found == spans(chat, messages)


def test_the_number_of_renderings_does_not_grow_with_the_turns() -> None:
    counts = []
    for size in (100, 1000):
        chat, messages = encoding(CHATML).chat, dialogue(size)
        text = chat.render(messages, add_generation_prompt=False)
        calls: list[int] = []

        def render(part: Sequence[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 -- `long_dialogue.Render`
            calls.append(len(part))  # noqa: B023 -- called in this round
            return chat.render(part, add_generation_prompt=add_generation_prompt)  # noqa: B023 -- as above

        indices = range(1, size, 2)
        assert long_dialogue.turn_prefixes(messages, text, render, indices=indices)
        counts.append(len(calls))
    assert max(counts) <= 20

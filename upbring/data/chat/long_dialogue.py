"""Prompt renderings of a long dialogue, without rendering the dialogue once for every turn.

One more rendering, with invisible marks around each message's content, shows what the template
writes between two contents. Where it writes the same text between messages of the same roles, it
starts the turn at the same place in that text. So the prompt is rendered once for every such text,
for the first and the last turn, and at a few more places to verify. If the marks change what the
template writes, or the places disagree, or there are many such texts, there is no shortcut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from upbring.data.chat.text_spans import TextSpan
from upbring.data.read.records import Message
from upbring.errors import InputError

Render = Callable[[Sequence[Message], bool], str]
MIN_TURNS = 24  # assistant turns; fewer are rendered one by one
_MAX_SEPARATORS = 8  # different texts between contents
_NUM_VERIFIED = 4
_MARKS = ("\U000afffe", "\U000affff")  # noncharacters that `template` does not use


@dataclass(frozen=True, slots=True)
class TurnPrefix:
    """The prompt rendering before a turn: its length if the full text starts with it, else None.

    `text` is the rendering, or only its last characters.
    """

    length: int | None
    text: str


def turn_prefixes(
    messages: Sequence[Message], text: str, render: Render, *, indices: Sequence[int]
) -> list[TurnPrefix] | None:
    """Return the prefix of each assistant message; None if each must be rendered by itself."""
    spans = content_spans(messages, text, render) if indices[0] else None
    if spans is None:
        return None
    last = len(indices) - 1
    verified = {k * last // (_NUM_VERIFIED - 1) for k in range(_NUM_VERIFIED)} | {1, last - 1}
    known: dict[tuple[str, str], _Rule] = {}
    prefixes = []
    for number, index in enumerate(indices):
        previous = messages[index - 1]
        base, between = _text_between(
            messages[index - 1 : index + 1], text, spans[index - 1 : index + 1]
        )
        is_edge = number in {0, last}  # some templates render the first or last turn differently
        rule = known.get((previous.role, between))
        if is_edge or rule is None or number in verified:
            rendered = render(messages[:index], True)  # noqa: FBT003 -- add_generation_prompt
            rule = _find_rule(rendered, text, previous, base=base)
            if not is_edge and known.setdefault((previous.role, between), rule) != rule:
                return None
            if len(known) > _MAX_SEPARATORS:
                return None
        length = None if rule.offset is None else base + rule.offset
        prefixes.append(TurnPrefix(length, previous.content.strip() + rule.tail))
    return prefixes


@dataclass(frozen=True, slots=True)
class _Rule:
    """Where a prompt rendering ends after a content; its tail if the full text starts otherwise."""

    offset: int | None
    tail: str


def _find_rule(rendered: str, text: str, previous: Message, *, base: int) -> _Rule:
    if text.startswith(rendered):
        return _Rule(len(rendered) - base, "")
    content = previous.content.strip()
    return _Rule(None, rendered[rendered.rfind(content) + len(content) :])


def _text_between(pair: Sequence[Message], text: str, spans: Sequence[TextSpan]) -> tuple[int, str]:
    """Return the start of the text between two trimmed contents, and it without their own space."""
    (_, start), (stop, _) = spans
    space = pair[0].content[len(pair[0].content.rstrip()) :]
    start += len(space) if text.startswith(space, start, stop) else 0
    space = pair[1].content[: -len(pair[1].content.lstrip()) or None]
    stop -= len(space) if text.endswith(space, start, stop) else 0
    return start, text[start:stop]


def content_spans(messages: Sequence[Message], text: str, render: Render) -> list[TextSpan] | None:
    """Return where each message's content is in the rendered text; None if that is unclear."""
    opening, closing = _MARKS
    if any(mark in message.content for message in messages for mark in _MARKS):
        return None
    try:
        marked = render([_mark(message) for message in messages], False)  # noqa: FBT003 -- as above
    except InputError:
        return None
    parts = marked.replace(closing, opening).split(opening)
    is_whole = marked.count(opening) == marked.count(closing) == len(messages)
    if not is_whole or not text.startswith("".join(parts)):  # a generation prompt may follow
        return None
    spans, position = [], 0
    for number, part in enumerate(parts):
        if number % 2:
            if part != messages[number // 2].content.strip():
                return None
            spans.append((position, position + len(part)))
        position += len(part)
    return spans


def _mark(message: Message) -> Message:
    """Return a message with marks around its trimmed content."""
    content = message.content
    core = content.strip()
    start = content.index(core)
    marked = f"{content[:start]}{_MARKS[0]}{core}{_MARKS[1]}{content[start + len(core) :]}"
    return replace(message, content=marked)

"""A Jinja chat template in the Go template language of Ollama, if that can be exact.

The template is not parsed. Its renderings of a few dialogues show what stands before and after the
content of each role; a Go template is made from that, and both are rendered for many dialogues. If
one rendering differs, there is no translation.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.export.gguf.go_template import render

Render = Callable[[Sequence[Message], bool], str]  # messages, and whether an answer follows

# The parts of a Go template; ‹…› stands for a text of the frame.
DEFAULT_SYSTEM = "{{ if not $.System }}‹default›{{ end }}"
LOOP = "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
SYSTEM_TURN = '{{ if eq .Role "system" }}‹s0›{{ .Content }}‹s1›{{ end }}'
USER_TURN = '{{ if eq .Role "user" }}‹u0›{{ .Content }}‹u1›'
USER_TURN_WITH_SYSTEM = (
    '{{ if eq .Role "user" }}‹u0›'
    "{{ if and $.System (eq $i 1) }}‹s0›{{ $.System }}‹s1›{{ end }}{{ .Content }}‹u1›"
)
ASSISTANT_TURN = (
    '{{ else if eq .Role "assistant" }}‹a0›{{ .Content }}{{ if not $last }}‹a1›{{ end }}{{ end }}'
)
OPENING = '{{ if and $last (ne .Role "assistant") }}‹opening›{{ end }}{{ end }}'
PLACE = re.compile("‹(.*?)›")

SYSTEM, USER, ANSWER = "qzxsystem", "qzxuser", "qzxanswer"  # in no template
BRACES = '{{ "{{" }}'


@dataclass(frozen=True)
class Translation:
    """The Go template, and whether the Jinja template strips the white space around contents."""

    text: str
    strips_contents: bool


@dataclass(frozen=True)
class _Frame:
    """What stands around the contents of a template's roles."""

    default_system: str  # before the first turn, if the dialogue has no system message
    system: tuple[str, str] | None  # None: there can be no system message
    is_system_in_user: bool  # the system message begins the first user turn
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str  # of the answer that follows


def translate_template(jinja: Render, *, bos: str) -> Translation | None:
    """Return the translation of a template, or None; BOS, which Ollama adds, is not part of it."""

    def without_bos(messages: Sequence[Message], is_open: bool) -> str:  # noqa: FBT001 -- as Render
        text = jinja(messages, is_open)
        return text.removeprefix(bos) if bos else text

    try:
        frame = _find_frame(without_bos)
    except (InputError, ValueError):
        return None
    if frame is None or '"""' in str(frame):
        return None
    template = _write(frame)
    dialogues = [each for each in DIALOGUES if frame.system or each[0].role != "system"]
    if not all(_is_equal(template, without_bos, each) for each in dialogues):
        return None
    return Translation(template, not _is_equal(template, without_bos, WITH_SPACES))


def render_ollama(template: str, messages: Sequence[Message]) -> str:
    """Return what Ollama makes of a dialogue."""
    system = "\n\n".join(each.content for each in messages if each.role == "system")
    rows = [{"Role": each.role, "Content": each.content} for each in messages]
    return render(template, {"System": system, "Messages": rows})


def _is_equal(template: str, jinja: Render, messages: Sequence[Message]) -> bool:
    try:
        return render_ollama(template, messages) == jinja(messages, True)  # noqa: FBT003 -- as Render
    except InputError:  # the Jinja template rejects the dialogue
        return False


def _find_frame(jinja: Render) -> _Frame | None:
    """Return what the renderings of a few dialogues show, or None if they do not fit together."""
    system, user, answer = (
        Message("system", SYSTEM),
        Message("user", USER),
        Message("assistant", ANSWER),
    )
    one = jinja([user], False)  # noqa: FBT003 -- as Render
    two = jinja([user, answer], False)  # noqa: FBT003 -- as above
    three = jinja([user, answer, user], False)  # noqa: FBT003 -- as above
    if not (two.startswith(one) and three.startswith(two)):
        return None
    before_user, after_user = _around(three[len(two) :], USER)
    first, after_first = _around(one, USER)
    if after_first != after_user or not first.endswith(before_user):
        return None
    with_system, is_inside = _system(jinja, [system, user], before_user, after_user)
    return _Frame(
        default_system=first.removesuffix(before_user),
        system=with_system,
        is_system_in_user=is_inside,
        user=(before_user, after_user),
        assistant=_around(two[len(one) :], ANSWER),
        opening=jinja([user], True).removeprefix(one),  # noqa: FBT003 -- as above
    )


def _system(
    jinja: Render, dialogue: Sequence[Message], before_user: str, after_user: str
) -> tuple[tuple[str, str] | None, bool]:
    """Return what stands around a system message, and whether it begins the user's turn."""
    try:
        text = jinja(dialogue, False)  # noqa: FBT003 -- as above
    except InputError:
        return None, False
    before, rest = _around(text, SYSTEM)
    between, after = _around(rest, USER)
    if after != after_user:
        raise ValueError(rest)
    if between.endswith(before_user) and before_user:
        return (before, between.removesuffix(before_user)), False
    if before.endswith(before_user):
        return (before.removesuffix(before_user), between), True
    raise ValueError(text)


def _around(text: str, content: str) -> tuple[str, str]:
    """Return what stands before and after a content that occurs once."""
    if text.count(content) != 1:
        raise ValueError(text)
    before, _, after = text.partition(content)
    return before, after


def _write(frame: _Frame) -> str:
    """Return the Go template of a frame."""
    system = frame.system or ("", "")
    names = ("default", "s0", "s1", "u0", "u1", "a0", "a1", "opening")
    texts = (frame.default_system, *system, *frame.user, *frame.assistant, frame.opening)
    values = dict(zip(names, map(_literal, texts), strict=True))
    parts = [
        DEFAULT_SYSTEM if frame.default_system else "",
        LOOP,
        SYSTEM_TURN if frame.system and not frame.is_system_in_user else "",
        USER_TURN_WITH_SYSTEM if frame.is_system_in_user else USER_TURN,
        ASSISTANT_TURN,
        OPENING,
    ]
    return PLACE.sub(lambda match: values[match[1]], "".join(parts))


def _literal(text: str) -> str:
    """Return a text as it stands in a Go template."""
    return text.replace("{{", BRACES)


def _dialogue(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    """Return a dialogue whose turns alternate, beginning with the user."""
    begin = () if system is None else (Message("system", system),)
    turns = (
        Message("assistant" if number % 2 else "user", content)
        for number, content in enumerate(contents)
    )
    return (*begin, *turns)


DIALOGUES = (
    _dialogue("Hello"),
    _dialogue("Hello", system="Be kind."),
    _dialogue("Hello", "Hi!", "How are you?"),
    _dialogue("Hello", "Hi!", "How are you?", system="Be kind."),
    _dialogue("One", "Two", "Three", "Four", "Five", "Six", "Seven"),
    _dialogue("Two\nlines\n\nand a third", "A list:\n- a\n- b", "Thanks", system="Be\n\nbrief."),
    _dialogue("{{ .Content }} {% if x %} {{ 1 + 1 }}", "{% endif %} }}", '"""'),
    _dialogue("Ünïcode 你好 👍🏽", "日本語", "a\tb", system="Ελληνικά"),
    _dialogue("Why?", "<think>\nBecause.\n</think>\n\nSo.", "And then?"),
    _dialogue("### User\n<|im_end|><end_of_turn>", "<|eot_id|>", "0"),
)
WITH_SPACES = _dialogue("  Hello\n", "\n Hi! ", "How are you?  ", system=" Be kind.\n")

"""Renders chat templates. No other module does.

`ChatTemplate(source).render(messages, …)` returns the same text as transformers'
`apply_chat_template`. It runs in jinja2's immutable sandbox with limits on time and size
(`sandbox.py`). It also returns two kinds of spans that the text alone does not show: the template's
`{% generation %}` blocks, and the places where a message's content spells a special token (which is
then plain text). Marker characters that the dialogue does not contain are inserted before rendering
and removed after it.

Left out: tokens (`segments.py`) and turns (`assistant_spans.py`).
"""

import datetime as dt
import functools
import gc
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import jinja2

from upbring.data.chat.sandbox import BUDGET_VARIABLE, CLOSE_MARK, OPEN_MARK, Sandbox
from upbring.data.chat.template_budget import BudgetExceededError, RenderBudget
from upbring.data.chat.text_spans import TextSpan
from upbring.data.read.records import Message
from upbring.errors import InputError

_MAX_SOURCE_CHARACTERS = 100_000  # the longest known template has 30,000
_NONCHARACTERS = [chr(code) for code in (*range(0xFDD0, 0xFDF0), 0x1FFFE, 0x1FFFF, 0x2FFFE)]
_RENDER_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Rendering:
    """A dialogue's text, its `{% generation %}` spans, and its quoted special tokens."""

    text: str
    generation_spans: tuple[TextSpan, ...] = ()
    quoted_spans: tuple[TextSpan, ...] = ()


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, compiled once; `today` is the time that `strftime_now` formats."""

    source: str
    today: dt.datetime = field(default_factory=dt.datetime.now)

    @functools.cached_property
    def _compiled(self) -> jinja2.Template:
        """The compiled template."""
        if len(self.source) > _MAX_SOURCE_CHARACTERS:
            raise InputError(
                f"chat template: it has {len(self.source):,} characters; use a template of at "
                f"most {_MAX_SOURCE_CHARACTERS:,}"
            )
        try:
            return Sandbox(self.today).from_string(self.source)
        except _RENDER_ERRORS as error:
            line = getattr(error, "lineno", None)
            location = f"line {line}: " if line else ""
            raise InputError(
                f"chat template: {location}{_error_message(error)}; correct it, or pass another "
                "template with --chat-template FILE"
            ) from error

    @property
    def marks_generation(self) -> bool:
        """Whether the template marks assistant text with `{% generation %}`."""
        return re.search(r"\{%-?\+?\s*generation\b", self.source) is not None

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool,
        special_tokens_map: Mapping[str, str],
        special_pattern: re.Pattern[str] | None = None,
    ) -> Rendering:
        """Return the rendering of the messages.

        `special_tokens_map` holds the tokens that the template can refer to, such as `bos_token`.
        A match of `special_pattern` inside a message is reported as quoted.
        """
        contents = [message.content for message in messages]
        is_quoting = special_pattern is not None and any(map(special_pattern.search, contents))
        marks = ""
        if is_quoting or self.marks_generation:
            marks = _unused_characters(contents)
        if is_quoting and special_pattern is not None:
            quote = f"{marks[0]}\\g<0>{marks[1]}"
            contents = [special_pattern.sub(quote, content) for content in contents]
        text = self._render_text(
            {
                "messages": [
                    {"role": message.role, "content": content}
                    for message, content in zip(messages, contents, strict=True)
                ],
                "tools": None,
                "documents": None,
                "add_generation_prompt": add_generation_prompt,
                **special_tokens_map,
                OPEN_MARK: marks[2:3],
                CLOSE_MARK: marks[3:4],
                BUDGET_VARIABLE: RenderBudget(sum(map(len, contents))),
            }
        )
        return (
            _remove_marks(text, marks, special_pattern=special_pattern)
            if marks
            else Rendering(text)
        )

    def render_values(
        self,
        messages: Sequence[Mapping[str, object]],
        tools: Sequence[Mapping[str, object]],
        *,
        special_tokens_map: Mapping[str, str],
        special_pattern: re.Pattern[str],
    ) -> Rendering:
        """Return the rendering of messages with tool calls, as a prompt for the next turn.

        A special token that is spelled anywhere in messages or tools is reported as quoted.
        """
        texts = list(_all_texts([messages, tools]))
        marks = _unused_characters(texts)
        quote = f"{marks[0]}\\g<0>{marks[1]}"

        def quoted(text: str) -> str:
            return special_pattern.sub(quote, text)

        text = self._render_text(
            {
                "messages": _map_texts(messages, quoted),
                "tools": _map_texts(tools, quoted) or None,
                "documents": None,
                "add_generation_prompt": True,
                **special_tokens_map,
                OPEN_MARK: marks[2:3],
                CLOSE_MARK: marks[3:4],
                BUDGET_VARIABLE: RenderBudget(sum(map(len, texts))),
            }
        )
        return _remove_marks(text, marks, special_pattern=special_pattern)

    def _render_text(self, variables: Mapping[str, object]) -> str:
        """Return the template's output; raise an InputError if it fails."""
        try:
            with _gc_paused():
                text = self._compiled.render(variables)
            budget = variables[BUDGET_VARIABLE]
            assert isinstance(budget, RenderBudget), "render() sets the budget"
            budget.charge(text)
        except BudgetExceededError as error:
            raise InputError(
                f"the chat template was stopped: {error.message}; use another template"
            ) from error
        except _RENDER_ERRORS as error:
            raise InputError(
                f"the chat template rejected the dialogue: {_error_message(error)}; change the "
                "dialogue, or pass another template with --chat-template FILE"
            ) from error
        return text


def _all_texts(value: object) -> Iterator[str]:
    """Yield every string in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _all_texts(key)
            yield from _all_texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _all_texts(each)


def _map_texts(value: object, change: Callable[[str], str]) -> object:
    """Return nested lists and mappings with every string changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_map_texts(k, change): _map_texts(each, change) for k, each in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(each, change) for each in value]
    return value


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause garbage collection: a full collection takes seconds of the template's time limit."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _error_message(error: BaseException) -> str:
    """Return an exception's message on one line."""
    if isinstance(error, RecursionError):
        return "infinite recursion"
    text = str(error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".;")


def _unused_characters(contents: Iterable[str]) -> str:
    """Return four characters that occur in no content."""
    all_text = "".join(contents)
    marks = [mark for mark in _NONCHARACTERS if mark not in all_text][:4]
    if len(marks) < 4:  # noqa: PLR2004 -- open and close, for quotes and for generation
        raise InputError(
            "the dialogue contains nearly every Unicode noncharacter (U+FDD0 …); remove them"
        )
    return "".join(marks)


def _remove_marks(text: str, marks: str, *, special_pattern: re.Pattern[str] | None) -> Rendering:
    """Return the text without its marks, with the spans that they enclose."""
    pieces: list[str] = []
    spans: tuple[list[TextSpan], list[TextSpan]] = ([], [])
    open_starts: list[int | None] = [None, None]
    size = 0
    for piece in re.split(f"([{marks}])", text):
        if piece not in marks or not piece:
            pieces.append(piece)
            size += len(piece)
            continue
        kind, is_closing = divmod(marks.index(piece), 2)
        begin = open_starts[kind]
        if is_closing and begin is not None:
            spans[kind].append((begin, size))
        open_starts[kind] = None if is_closing else size
    plain_text = "".join(pieces)
    quoted = tuple(
        s
        for s in spans[0]
        if special_pattern is not None and special_pattern.fullmatch(plain_text, *s)
    )
    return Rendering(plain_text, tuple(spans[1]), quoted)

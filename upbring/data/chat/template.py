"""The one place that renders a chat template.

`Template(source).render(dialogue, …)` gives the text that the template makes of a dialogue, in
jinja2's immutable sandbox with bounds on time and size (`sandbox.py`), as transformers'
`apply_chat_template` does. It also tells two things that the text alone cannot: where the
template's own `{% generation %}` blocks lie, and where a message's content spells a control token
(which is then text, not control). Both are found with marks that are put in before rendering and
taken out after it; they are characters that the dialogue does not contain.

Left out: tokens (`pieces.py`) and turns (`spans.py`).
"""

import datetime as dt
import functools
import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import jinja2

from upbring.data.chat.sandbox import BUDGET, CLOSES, OPENS, Sandbox
from upbring.data.chat.template_budget import Budget, TooMuchError
from upbring.data.read.records import Message
from upbring.errors import InputError

_LONGEST_SOURCE = 100_000  # characters; the longest template seen in the field has 30,000
_NONCHARACTERS = [chr(code) for code in (*range(0xFDD0, 0xFDF0), 0x1FFFE, 0x1FFFF, 0x2FFFE)]
_WHATEVER_FAILS = (
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

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rendering:
    """The text of a dialogue, where the model speaks in it, and where control tokens are quoted."""

    text: str
    generated: tuple[Span, ...] = ()
    quoted: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Template:
    """A chat template, compiled once. `today` is the time that `strftime_now` tells."""

    source: str
    today: dt.datetime = field(default_factory=dt.datetime.now)

    @functools.cached_property
    def _compiled(self) -> jinja2.Template:
        """The template, ready to render."""
        if len(self.source) > _LONGEST_SOURCE:
            raise InputError(
                f"chat template: it has {len(self.source):,} characters; "
                f"use one of at most {_LONGEST_SOURCE:,}"
            )
        try:
            return Sandbox(self.today).from_string(self.source)
        except _WHATEVER_FAILS as error:
            line = getattr(error, "lineno", None)
            place = f"line {line}: " if line else ""
            raise InputError(
                f"chat template: {place}{_reason(error)}; correct it, or pass another one "
                "with --template FILE"
            ) from error

    @property
    def marks_generation(self) -> bool:
        """Whether the template itself says where the assistant speaks."""
        return re.search(r"\{%-?\+?\s*generation\b", self.source) is not None

    def render(
        self,
        messages: Sequence[Message],
        *,
        is_open: bool,
        names: Mapping[str, str],
        control: re.Pattern[str] | None = None,
    ) -> Rendering:
        """Return the rendering; `is_open` ends it where the assistant is to speak next.

        `names` are the tokens that the template may name, such as `bos_token`. What `control`
        finds within a message is quoted.
        """
        contents = [message.content for message in messages]
        is_quoting = control is not None and any(map(control.search, contents))
        marks = ""
        if is_quoting or self.marks_generation:
            marks = _unused(contents)
        if is_quoting and control is not None:
            quote = f"{marks[0]}\\g<0>{marks[1]}"
            contents = [control.sub(quote, content) for content in contents]
        text = self._run(
            {
                "messages": [
                    {"role": message.role, "content": content}
                    for message, content in zip(messages, contents, strict=True)
                ],
                "tools": None,
                "documents": None,
                "add_generation_prompt": is_open,
                **names,
                OPENS: marks[2:3],
                CLOSES: marks[3:4],
                BUDGET: Budget(sum(map(len, contents))),
            }
        )
        return _unmarked(text, marks, control=control) if marks else Rendering(text)

    def _run(self, variables: Mapping[str, object]) -> str:
        """Return what the template writes, or say why it refused."""
        try:
            with _unswept():
                text = self._compiled.render(variables)
            budget = variables[BUDGET]
            assert isinstance(budget, Budget), "the budget is ours"
            budget.charge(text)
        except TooMuchError as error:
            raise InputError(
                f"the chat template was stopped: {error.message}; use another template"
            ) from error
        except _WHATEVER_FAILS as error:
            raise InputError(
                f"the chat template refused the dialogue: {_reason(error)}; change the dialogue, "
                "or pass another template with --template FILE"
            ) from error
        return text


@contextmanager
def _unswept() -> Iterator[None]:
    """Keep Python from sweeping the whole program's memory, seconds long, on a template's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _reason(error: BaseException) -> str:
    """Return an exception's message on one line."""
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    text = str(error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".;")


def _unused(contents: Iterable[str]) -> str:
    """Return four characters that occur in no content."""
    joined = "".join(contents)
    marks = [mark for mark in _NONCHARACTERS if mark not in joined][:4]
    if len(marks) < 4:  # noqa: PLR2004 -- open and close, for quotes and for generation
        raise InputError(
            "the dialogue holds nearly every Unicode noncharacter (U+FDD0 …); remove them"
        )
    return "".join(marks)


def _unmarked(text: str, marks: str, *, control: re.Pattern[str] | None) -> Rendering:
    """Return the text without its marks, and the spans that they enclosed."""
    pieces: list[str] = []
    spans: tuple[list[Span], list[Span]] = ([], [])
    opened: list[int | None] = [None, None]
    size = 0
    for piece in re.split(f"([{marks}])", text):
        if piece not in marks or not piece:
            pieces.append(piece)
            size += len(piece)
            continue
        kind, is_closing = divmod(marks.index(piece), 2)
        begin = opened[kind]
        if is_closing and begin is not None:
            spans[kind].append((begin, size))
        opened[kind] = None if is_closing else size
    whole = "".join(pieces)
    quoted = tuple(s for s in spans[0] if control is not None and control.fullmatch(whole, *s))
    return Rendering(whole, tuple(spans[1]), quoted)

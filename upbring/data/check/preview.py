"""Show one row as the model sees it: runs of text that are trained on or not.

Untrusted text is escaped for the terminal: characters that move the cursor or change the writing
direction are shown as their code point. Colors are chosen in `upbring.data.check.check_page`.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.record_text import prompt_of, responses_of
from upbring.data.read.records import Comparison, Document, Label, Prompt, Record
from upbring.data.trees.tree import Tree
from upbring.plurals import format_count

HEAD_CHARACTERS = 700  # characters of a run that are shown before the omission
TAIL_CHARACTERS = 200
NUM_FIRST = 40  # runs or parts that are shown before the omission
NUM_LAST = 10
T = TypeVar("T")
_TERMINAL_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class TextRun:
    """Text whose tokens all have a loss or none, and are all special tokens or none."""

    text: str
    has_loss: bool = False
    is_special: bool = False


@dataclass(frozen=True, slots=True)
class ExamplePart:
    """A named part of the example, such as `user`, or `rank 1` of a ranking."""

    name: str
    runs: tuple[TextRun, ...]


@dataclass(frozen=True, slots=True)
class PreviewExample:
    """A row to display, and where it was read."""

    location: str
    parts: tuple[ExamplePart, ...]
    is_rendered: bool  # with the chat template; else the messages of the row
    highlight_label: str = "trained on"  # what the highlighted runs are; '' if there are none
    note: str = ""  # what the row says of its response


def escape_terminal(text: str) -> str:
    r"""Return the text with terminal control characters replaced by their code points.

    >>> escape_terminal("\x1b[2J red \u202e")
    '<U+001B>[2J red <U+202E>'
    """
    return _TERMINAL_CONTROLS.sub(lambda match: f"<U+{ord(match.group()):04X}>", text)


def plain_example(record: Record) -> PreviewExample:
    """Return the messages of a row, with its responses as the runs that have a loss."""
    parts = [
        ExamplePart(m.role, tuple(_shorten_runs([TextRun(m.content)]))) for m in prompt_of(record)
    ]
    for name, text in responses_of(record):
        parts.append(ExamplePart(name, tuple(_shorten_runs([TextRun(text, has_loss=True)]))))
    return _make_example(record, parts, is_rendered=False)


def rendered_example(record: Record, tree: Tree, *, tokenizer: Tokenizer) -> PreviewExample:
    """Return the text of a row's tokens; a single branch is joined with the prompt."""
    prompt = [(token, False) for token in tree.prompt.tolist()]
    branches = [
        list(zip(b.tokens.tolist(), (b.weight > 0).tolist(), strict=True)) for b in tree.branches
    ]
    if len(branches) > 1:
        names = ["prompt", *(name for name, _ in responses_of(record))]
        texts = [prompt, *branches]
    else:
        names = ["text" if isinstance(record, Document) else "dialogue"]
        texts = [prompt + list(itertools.chain(*branches))]
    parts = [
        ExamplePart(name, tuple(_shorten_runs(_shown_runs(text, tokenizer))))
        for name, text in zip(names, texts, strict=True)
    ]
    return _make_example(record, parts, is_rendered=True)


def _make_example(record: Record, parts: list[ExamplePart], *, is_rendered: bool) -> PreviewExample:
    label = {Comparison: "compared", Prompt: ""}.get(type(record), "trained on")
    shown_parts = _elide_middle(parts, _elided_parts)
    note = f", labeled {'good' if record.is_good else 'bad'}" if isinstance(record, Label) else ""
    return PreviewExample(str(record.origin), shown_parts, is_rendered, label, note)


def _shown_runs(tokens: Sequence[tuple[int, bool]], tokenizer: Tokenizer) -> Iterator[TextRun]:
    """Yield the text of the first and last runs of tokens with the same loss and special flags."""
    special_ids = set(tokenizer.special_token_ids.values())
    groups = [
        (has_loss, is_special, [token for token, _ in group])
        for (has_loss, is_special), group in itertools.groupby(
            tokens, key=lambda pair: (pair[1], pair[0] in special_ids)
        )
    ]
    num_hidden = len(groups) - NUM_FIRST - NUM_LAST
    if num_hidden <= 1:
        yield from _decode_runs(groups, tokenizer)
        return
    yield from _decode_runs(groups[:NUM_FIRST], tokenizer)
    yield _elided_runs(num_hidden)
    yield from _decode_runs(groups[-NUM_LAST:], tokenizer, before=groups[-NUM_LAST - 1][2])


def _decode_runs(
    groups: Sequence[tuple[bool, bool, list[int]]],
    tokenizer: Tokenizer,
    *,
    before: Sequence[int] = (),
) -> Iterator[TextRun]:
    """Yield the text of each run.

    Each run is decoded together with what is before it, whose text is then cut off, because some
    decoders drop a space at the beginning of a text.
    """
    decoded_tokens = [*before]
    decoded_text = tokenizer.decode(decoded_tokens, with_special_tokens=True)
    for has_loss, is_special, tokens in groups:
        decoded_tokens += tokens
        text = tokenizer.decode(decoded_tokens, with_special_tokens=True)
        yield TextRun(text[len(decoded_text) :], has_loss=has_loss, is_special=is_special)
        decoded_text = text


def _shorten_runs(runs: Iterable[TextRun]) -> Iterator[TextRun]:
    """Yield the runs, escaped for the terminal and shortened."""
    for run in runs:
        text = escape_terminal(run.text)
        num_hidden = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
        if num_hidden > TAIL_CHARACTERS:
            head, tail = text[:HEAD_CHARACTERS], text[-TAIL_CHARACTERS:]
            text = f"{head} [… {format_count(num_hidden, 'character')} …] {tail}"
        yield replace(run, text=text)


def _elide_middle(items: Iterable[T], make_placeholder: Callable[[int], T]) -> tuple[T, ...]:
    """Return the first and the last items, and a placeholder with the number between them."""
    all_items = tuple(items)
    num_hidden = len(all_items) - NUM_FIRST - NUM_LAST
    return (
        all_items
        if num_hidden <= 1
        else (*all_items[:NUM_FIRST], make_placeholder(num_hidden), *all_items[-NUM_LAST:])
    )


def _elided_parts(count: int) -> ExamplePart:
    return ExamplePart(f"… {count} more …", ())


def _elided_runs(count: int) -> TextRun:
    return TextRun(f" [… {count} more …] ")

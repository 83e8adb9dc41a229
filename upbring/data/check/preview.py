"""One row as a model would see it: text in runs, each learned from or not; colours are the door's.

Text of unknown origin is made harmless for a terminal: what would move its cursor, or turn the
direction of writing, is shown by its number.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.record_text import prompt_of, responses_of
from upbring.data.read.records import Comparison, Document, Prompt, Record
from upbring.data.trees.tree import Tree

HEAD_CHARACTERS = 700  # characters of a run that are shown before the gap
TAIL_CHARACTERS = 200
NUM_FIRST = 40  # runs or parts that are shown before the gap
NUM_LAST = 10
T = TypeVar("T")
_TERMINAL_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class TextRun:
    """Text whose tokens are alike: learned from or not, control tokens or not."""

    text: str
    has_loss: bool = False
    is_special: bool = False


@dataclass(frozen=True, slots=True)
class ExamplePart:
    """A part of the example and its name, such as `user`, or `rank 1` of a ranking."""

    name: str
    runs: tuple[TextRun, ...]


@dataclass(frozen=True, slots=True)
class PreviewExample:
    """A row to look at, and where it was read."""

    location: str
    parts: tuple[ExamplePart, ...]
    is_rendered: bool  # as the template does it; else the row's messages as they are
    highlight_label: str = "learned from"  # what is marked, in words; '' where nothing is


def escape_terminal(text: str) -> str:
    r"""Return the text with what a terminal would obey spelled out.

    >>> escape_terminal("\x1b[2J red \u202e")
    '<U+001B>[2J red <U+202E>'
    """
    return _TERMINAL_CONTROLS.sub(lambda match: f"<U+{ord(match.group()):04X}>", text)


def plain_example(record: Record) -> PreviewExample:
    """Return a row's messages, and its responses as what is learned from."""
    parts = [
        ExamplePart(m.role, tuple(_shorten_runs([TextRun(m.content)]))) for m in prompt_of(record)
    ]
    for name, text in responses_of(record):
        parts.append(ExamplePart(name, tuple(_shorten_runs([TextRun(text, has_loss=True)]))))
    return _make_example(record, parts, is_rendered=False)


def rendered_example(record: Record, tree: Tree, *, tokenizer: Tokenizer) -> PreviewExample:
    """Return the text of a row's tokens; one branch reads on from the prompt."""
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
        ExamplePart(name, _elide_middle(_shorten_runs(_decode_runs(text, tokenizer)), _elided_runs))
        for name, text in zip(names, texts, strict=True)
    ]
    return _make_example(record, parts, is_rendered=True)


def _make_example(record: Record, parts: list[ExamplePart], *, is_rendered: bool) -> PreviewExample:
    use = {Comparison: "compared", Prompt: ""}.get(type(record), "learned from")
    return PreviewExample(str(record.origin), _elide_middle(parts, _elided_parts), is_rendered, use)


def _decode_runs(tokens: Sequence[tuple[int, bool]], tokenizer: Tokenizer) -> Iterator[TextRun]:
    """Yield the text of neighbouring tokens that are alike.

    Everything up to a run's end is decoded, and what was known before is cut off: some decoders
    drop a space where a text begins.
    """
    special_ids = set(tokenizer.special_token_ids.values())
    decoded_tokens, decoded_text = [], ""
    groups = itertools.groupby(tokens, key=lambda pair: (pair[1], pair[0] in special_ids))
    for (has_loss, is_special), group in groups:
        decoded_tokens += [token for token, _ in group]
        text = tokenizer.decode(decoded_tokens, with_special_tokens=True)
        yield TextRun(text[len(decoded_text) :], has_loss=has_loss, is_special=is_special)
        decoded_text = text


def _shorten_runs(runs: Iterable[TextRun]) -> Iterator[TextRun]:
    """Yield the runs harmless and not too long."""
    for run in runs:
        text = escape_terminal(run.text)
        num_hidden = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
        if num_hidden > TAIL_CHARACTERS:
            text = f"{text[:HEAD_CHARACTERS]} [… {num_hidden:,} characters …] {text[-TAIL_CHARACTERS:]}"
        yield replace(run, text=text)


def _elide_middle(items: Iterable[T], make_gap: Callable[[int], T]) -> tuple[T, ...]:
    """Return the first and the last items, and a gap that tells how many are between them."""
    all_items = tuple(items)
    num_hidden = len(all_items) - NUM_FIRST - NUM_LAST
    return (
        all_items
        if num_hidden <= 1
        else (*all_items[:NUM_FIRST], make_gap(num_hidden), *all_items[-NUM_LAST:])
    )


def _elided_parts(count: int) -> ExamplePart:
    return ExamplePart(f"… {count} more …", ())


def _elided_runs(count: int) -> TextRun:
    return TextRun(f" [… and so on, {count} times …] ")

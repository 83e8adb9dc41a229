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

HEAD = 700  # characters of a run that are shown before the gap
TAIL = 200
FIRST = 40  # runs or parts that are shown before the gap
LAST = 10
T = TypeVar("T")
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Run:
    """Text whose tokens are alike: learned from or not, control tokens or not."""

    text: str
    is_learned: bool = False
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the example and its name, such as `user`, or `rank 1` of a ranking."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A row to look at, and where it was read."""

    where: str
    parts: tuple[Part, ...]
    is_rendered: bool  # as the template does it; else the row's messages as they are
    use: str = "learned from"  # what is marked, in words; '' where nothing is


def visible(text: str) -> str:
    r"""Return the text with what a terminal would obey spelled out.

    >>> visible("\x1b[2J red \u202e")
    '<U+001B>[2J red <U+202E>'
    """
    return _HARMFUL.sub(lambda match: f"<U+{ord(match.group()):04X}>", text)


def plain_example(record: Record) -> Example:
    """Return a row's messages, and its responses as what is learned from."""
    parts = [Part(m.role, tuple(_shortened([Run(m.content)]))) for m in prompt_of(record)]
    for name, text in responses_of(record):
        parts.append(Part(name, tuple(_shortened([Run(text, is_learned=True)]))))
    return _example(record, parts, is_rendered=False)


def rendered_example(record: Record, tree: Tree, *, tokenizer: Tokenizer) -> Example:
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
        Part(name, _few(_shortened(_runs(text, tokenizer)), _missing_runs))
        for name, text in zip(names, texts, strict=True)
    ]
    return _example(record, parts, is_rendered=True)


def _example(record: Record, parts: list[Part], *, is_rendered: bool) -> Example:
    use = {Comparison: "compared", Prompt: ""}.get(type(record), "learned from")
    return Example(str(record.origin), _few(parts, _missing_parts), is_rendered, use)


def _runs(tokens: Sequence[tuple[int, bool]], tokenizer: Tokenizer) -> Iterator[Run]:
    """Yield the text of neighbouring tokens that are alike.

    Everything up to a run's end is decoded, and what was known before is cut off: some decoders
    drop a space where a text begins.
    """
    control = set(tokenizer.specials.values())
    known, before = [], ""
    groups = itertools.groupby(tokens, key=lambda pair: (pair[1], pair[0] in control))
    for (is_learned, is_control), group in groups:
        known += [token for token, _ in group]
        text = tokenizer.decode(known, with_specials=True)
        yield Run(text[len(before) :], is_learned=is_learned, is_control=is_control)
        before = text


def _shortened(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs harmless and not too long."""
    for run in runs:
        text = visible(run.text)
        gap = len(text) - HEAD - TAIL
        if gap > TAIL:
            text = f"{text[:HEAD]} [… {gap:,} characters …] {text[-TAIL:]}"
        yield replace(run, text=text)


def _few(items: Iterable[T], gap: Callable[[int], T]) -> tuple[T, ...]:
    """Return the first and the last items, and a gap that tells how many are between them."""
    known = tuple(items)
    num_more = len(known) - FIRST - LAST
    return known if num_more <= 1 else (*known[:FIRST], gap(num_more), *known[-LAST:])


def _missing_parts(count: int) -> Part:
    return Part(f"… {count} more …", ())


def _missing_runs(count: int) -> Run:
    return Run(f" [… and so on, {count} times …] ")

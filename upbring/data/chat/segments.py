"""Rendered text, cut where the assistant's turns begin and end, and encoded piece by piece.

A tokenizer may join the last character of a prompt with the first of an answer (`⏎` and `⏎` become
one token), but a served model has read the prompt before it speaks. So every piece is encoded on
its own, in training as in serving: the tokens of a prompt cannot depend on what follows. Within a
message, the spelling of a control token is encoded as text.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upbring.data.chat.template import Rendering, Span
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.trees.tree import Branch, Tree


@dataclass(frozen=True, slots=True)
class Part:
    """Text that is encoded in one go; `is_inside` claims that other text stands before it."""

    text: str
    is_inside: bool
    is_trusted: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts whose tokens are joined, all of one weight."""

    parts: tuple[Part, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A tree before it is encoded."""

    prompt: tuple[Piece, ...]
    branches: tuple[tuple[Piece, ...], ...]
    key: str


def control_spans(rendering: Rendering, tokenizer: Tokenizer) -> list[Span]:
    """Return where the template wrote control tokens; what a message spells is not among them."""
    spans = [match.span() for match in tokenizer.control.finditer(rendering.text)]
    quoted = rendering.quoted
    return [s for s in spans if not any(s[0] < q[1] and q[0] < s[1] for q in quoted)]


def cut(
    rendering: Rendering, places: Sequence[int], *, controls: Sequence[Span], tokenizer: Tokenizer
) -> list[tuple[Part, ...]]:
    """Return the parts of each piece of text between two neighbouring `places`."""
    return [
        tuple(_parts(rendering, (start, stop), controls=controls, tokenizer=tokenizer))
        for start, stop in itertools.pairwise(places)
    ]


def grow(drafts: Sequence[Draft], tokenizer: Tokenizer) -> Iterator[Tree]:
    """Yield the tree of each draft; all are encoded together."""
    pieces = [
        piece for draft in drafts for pieces in (draft.prompt, *draft.branches) for piece in pieces
    ]
    encoded = iter(encode([piece.parts for piece in pieces], tokenizer))
    for draft in drafts:
        prompt = [token for _ in draft.prompt for token in next(encoded)]
        branches = []
        for branch in draft.branches:
            made = [(next(encoded), piece.weight) for piece in branch]
            tokens = [token for tokens, _ in made for token in tokens]
            weight = np.repeat([w for _, w in made], [len(tokens) for tokens, _ in made])
            branches.append(Branch(np.asarray(tokens, np.int32), weight.astype(np.float32)))
        yield Tree(np.asarray(prompt, np.int32), tuple(branches), draft.key)


def encode(pieces: Sequence[tuple[Part, ...]], tokenizer: Tokenizer) -> list[list[int]]:
    """Return the tokens of each piece."""
    parts = [part for piece in pieces for part in piece]
    tokens: dict[int, list[int]] = {}
    for trusted, inside in itertools.product((False, True), repeat=2):
        chosen = [
            i for i, p in enumerate(parts) if (p.is_trusted, p.is_inside) == (trusted, inside)
        ]
        if chosen:
            texts = [parts[i].text for i in chosen]
            encoded = tokenizer.encode_many(texts, trusted=trusted, inside=inside)
            tokens.update(zip(chosen, encoded, strict=True))
    numbers = iter(range(len(parts)))
    return [[token for _ in piece for token in tokens[next(numbers)]] for piece in pieces]


def _parts(
    rendering: Rendering, span: Span, *, controls: Sequence[Span], tokenizer: Tokenizer
) -> Iterator[Part]:
    """Yield a piece's parts: one, unless a message in it spells a control token."""
    start, stop = span
    if not any(start < q[1] and q[0] < stop for q in rendering.quoted):
        yield from _run(rendering, span, controls=controls, tokenizer=tokenizer)
        return
    for control in [c for c in controls if start <= c[0] and c[1] <= stop]:
        special = rendering.text[slice(*control)]
        before = (start, control[0])
        for part in _run(rendering, before, controls=controls, tokenizer=tokenizer):
            swallowed = special in tokenizer.takes_space_before
            yield replace(part, text=part.text.rstrip()) if swallowed else part
        yield Part(special, is_inside=True)
        start = control[1]
    yield from _run(rendering, (start, stop), controls=controls, tokenizer=tokenizer)


def _run(
    rendering: Rendering, span: Span, *, controls: Sequence[Span], tokenizer: Tokenizer
) -> Iterator[Part]:
    """Yield the text of a span as one part, encoded as what stands before it demands."""
    start, stop = span
    text = rendering.text
    run = text[start:stop]
    is_inside = start > 0
    before = next((c for c in reversed(controls) if c[1] <= start), None)
    if before is not None:
        swallows = text[slice(*before)] in tokenizer.takes_space_after
        if before[1] == start or (swallows and not text[before[1] : start].strip()):
            is_inside = not tokenizer.starts_after_special
            run = run.lstrip() if swallows else run
    if any(start < q[1] and q[0] < stop for q in rendering.quoted):
        yield Part(run, is_inside, is_trusted=False)
        return
    starts_again = is_inside and tokenizer.starts_after_special
    added = tokenizer.added.search(run) if starts_again else None
    split = added.start() if added else len(run)
    if run[:split]:
        yield Part(run[:split], is_inside)
    if run[split:]:
        yield Part(run[split:], is_inside=False)

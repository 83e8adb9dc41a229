"""Cuts rendered text at the boundaries of assistant turns and encodes each piece separately.

A tokenizer may merge the last character of a prompt with the first character of an answer (`⏎` and
`⏎` become one token), but at inference the prompt is encoded before the answer exists. So each
piece is encoded separately, in training and at inference: the tokens of a prompt do not depend on
what follows. Inside a message, the spelling of a special token is encoded as plain text.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upbring.data.chat import text_spans
from upbring.data.chat.template import Rendering
from upbring.data.chat.text_spans import TextSpan
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.trees.tree import Branch, Tree
from upbring.errors import InputError


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text that is encoded in one call; `is_continuation`: other text precedes it."""

    text: str
    is_continuation: bool
    is_trusted: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts whose tokens are concatenated and share one weight."""

    parts: tuple[TextPart, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A tree before it is encoded."""

    prompt: tuple[Piece, ...]
    branches: tuple[tuple[Piece, ...], ...]
    key: str


def find_special_spans(rendering: Rendering, tokenizer: Tokenizer) -> list[TextSpan]:
    """Return the spans of special tokens that the template wrote, not those in messages."""
    spans = [match.span() for match in tokenizer.special_pattern.finditer(rendering.text)]
    return [span for span in spans if not text_spans.overlapping(rendering.quoted_spans, *span)]


def cut_into_pieces(
    rendering: Rendering,
    positions: Sequence[int],
    *,
    special_spans: Sequence[TextSpan],
    tokenizer: Tokenizer,
) -> list[tuple[TextPart, ...]]:
    """Return the parts of each piece of text between two adjacent `positions`."""
    return [
        tuple(
            _split_parts(rendering, (start, stop), special_spans=special_spans, tokenizer=tokenizer)
        )
        for start, stop in itertools.pairwise(positions)
    ]


def encode_drafts(drafts: Sequence[Draft], tokenizer: Tokenizer) -> Iterator[Tree]:
    """Yield the tree of each draft; all drafts are encoded in one batch."""
    pieces = [
        piece for draft in drafts for pieces in (draft.prompt, *draft.branches) for piece in pieces
    ]
    encoded = iter(encode_pieces([piece.parts for piece in pieces], tokenizer))
    for draft in drafts:
        prompt = [token for _ in draft.prompt for token in next(encoded)]
        branches = []
        for branch in draft.branches:
            encoded_pieces = [(next(encoded), piece.weight) for piece in branch]
            tokens = [token for tokens, _ in encoded_pieces for token in tokens]
            weight = np.repeat(
                [w for _, w in encoded_pieces], [len(tokens) for tokens, _ in encoded_pieces]
            )
            branches.append(Branch(np.asarray(tokens, np.int32), weight.astype(np.float32)))
        yield Tree(np.asarray(prompt, np.int32), tuple(branches), draft.key)


def check_draft(draft: Draft) -> Draft:
    """Return the draft; raise if its prompt is empty or a branch has no trainable text."""
    if not any(piece.parts for piece in draft.prompt):
        raise InputError(
            "the chat template writes nothing before the assistant's first turn; start the "
            "dialogue with a user message, or pass another template with --chat-template FILE"
        )
    for branch in draft.branches:
        if not any(piece.parts and piece.weight for piece in branch):
            raise InputError(
                "the chat template renders no trainable text for the assistant's turn; write an "
                "answer, or pass another template with --chat-template FILE"
            )
    return draft


def encode_pieces(pieces: Sequence[tuple[TextPart, ...]], tokenizer: Tokenizer) -> list[list[int]]:
    """Return the tokens of each piece."""
    parts = [part for piece in pieces for part in piece]
    tokens: dict[int, list[int]] = {}
    for trusted, is_continuation in itertools.product((False, True), repeat=2):
        matching = [
            i
            for i, p in enumerate(parts)
            if (p.is_trusted, p.is_continuation) == (trusted, is_continuation)
        ]
        if matching:
            texts = [parts[i].text for i in matching]
            encoded = tokenizer.encode_batch(
                texts, trusted=trusted, is_continuation=is_continuation
            )
            tokens.update(zip(matching, encoded, strict=True))
    numbers = iter(range(len(parts)))
    return [[token for _ in piece for token in tokens[next(numbers)]] for piece in pieces]


def _split_parts(
    rendering: Rendering, span: TextSpan, *, special_spans: Sequence[TextSpan], tokenizer: Tokenizer
) -> Iterator[TextPart]:
    """Yield a piece's parts: one, unless a message in it spells a special token."""
    start, stop = span
    if not text_spans.overlapping(rendering.quoted_spans, start, stop):
        yield from _span_parts(rendering, span, special_spans=special_spans, tokenizer=tokenizer)
        return
    for special_span in text_spans.inside(special_spans, start, stop):
        special = rendering.text[slice(*special_span)]
        before = (start, special_span[0])
        for part in _span_parts(
            rendering, before, special_spans=special_spans, tokenizer=tokenizer
        ):
            strips_space = special in tokenizer.lstrip_tokens
            yield replace(part, text=part.text.rstrip()) if strips_space else part
        yield TextPart(special, is_continuation=True)
        start = special_span[1]
    yield from _span_parts(
        rendering, (start, stop), special_spans=special_spans, tokenizer=tokenizer
    )


def _span_parts(
    rendering: Rendering, span: TextSpan, *, special_spans: Sequence[TextSpan], tokenizer: Tokenizer
) -> Iterator[TextPart]:
    """Yield the text of a span, usually one part; the text before it decides the encoding."""
    start, stop = span
    text = rendering.text
    run_text = text[start:stop]
    is_continuation = start > 0
    before = text_spans.last_before(special_spans, start)
    if before is not None:
        strips_space = text[slice(*before)] in tokenizer.rstrip_tokens
        if before[1] == start or (strips_space and not text[before[1] : start].strip()):
            is_continuation = not tokenizer.restarts_after_special
            run_text = run_text.lstrip() if strips_space else run_text
    if text_spans.overlapping(rendering.quoted_spans, start, stop):
        yield TextPart(run_text, is_continuation, is_trusted=False)
        return
    starts_again = is_continuation and tokenizer.restarts_after_special
    added_match = tokenizer.added_pattern.search(run_text) if starts_again else None
    split = added_match.start() if added_match else len(run_text)
    if run_text[:split]:
        yield TextPart(run_text[:split], is_continuation)
    if run_text[split:]:
        yield TextPart(run_text[split:], is_continuation=False)

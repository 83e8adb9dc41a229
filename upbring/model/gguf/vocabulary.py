"""Words of GGUF's tokenizers that reading and writing share: kinds of tokens, spaces, merges."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

SPACE = "\u2581"  # how SentencePiece writes a space
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
Merge = tuple[str, str]


class TokenType(IntEnum):
    """The kinds of `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # a special token
    USER_DEFINED = 4  # matched whole in any text, before everything else
    UNUSED = 5
    BYTE = 6


def merges_from_scores(scores: Mapping[str, float]) -> list[Merge]:
    """Return the merges of a SentencePiece BPE: every pair that gives a token, best token first.

    Pairs of one token are ordered by the length of their first half, as in transformers.

    >>> merges_from_scores({"a": -9, "b": -9, "ab": -1, "abb": -2})
    [('a', 'b'), ('ab', 'b')]
    """
    merges = []
    for token, score in sorted(scores.items(), key=lambda item: -item[1]):
        pairs = ((token[:i], token[i:]) for i in range(len(token) - 1, 0, -1))
        merges += [(score, pair) for pair in pairs if pair[0] in scores and pair[1] in scores]
    return [pair for _, pair in merges]


def scores_from_merges(vocabulary: Mapping[str, int], merges: Sequence[Merge]) -> dict[str, float]:
    """Return a score for each token so that the best-scored pair is the first merge; else raise.

    Raises a ValueError with the token if merges and scores cannot agree: if the merges of one token
    are interrupted by others, or if a pair that gives a token is no merge.

    >>> scores_from_merges({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    {'ab': -1.0}
    """
    scores: dict[str, float] = {}
    current = None
    for left, right in merges:
        token = left + right
        if token != current:
            if token in scores:
                raise ValueError(token)
            scores[token] = -1.0 - len(scores)
            current = token
    known = set(merges)
    for token in vocabulary:
        for i in range(1, len(token)):
            pair = (token[:i], token[i:])
            if pair[0] in vocabulary and pair[1] in vocabulary and pair not in known:
                raise ValueError(token)
    return scores

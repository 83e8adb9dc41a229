"""The same text twice: within a set, and in training and held-out data; exact and near.

Exact: equal but for capitals and white space. Near: the sets of three neighbouring words agree to
at least `threshold` (Jaccard), found with MinHash signatures and bands (Broder 1997). A text that
shares a bucket with many is compared with some of them, not all: the count is a floor.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_HASHES = 64
_BANDS = 16  # of 4 hashes each: 0.8 alike is found with probability 0.9998
_ROWS_AT_ONCE = 8192
_NEIGHBOURS = 8
_DOUBT = 0.2  # four standard errors of a similarity that 64 hashes estimate, at 0.8
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")
Ints = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts by their places, and how alike they are: 1 is equal."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Held-out texts (`first`) that stand in the training texts (`second`) too, each told once."""

    exact: tuple[Pair, ...]
    near: tuple[Pair, ...]


def normalise(text: str) -> str:
    r"""Return the text by which exact duplicates are told.

    >>> normalise("  What is\n2 + 2? ")
    'what is 2 + 2?'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def duplicates(texts: Sequence[str]) -> list[Pair]:
    """Return every text that stood before, paired with the first that is equal."""
    first: dict[str, int] = {}
    found = []
    for place, text in enumerate(texts):
        earlier = first.setdefault(normalise(text), place)
        if earlier != place:
            found.append(Pair(earlier, place, 1.0))
    return found


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8) -> list[Pair]:
    """Return texts that are nearly but not exactly equal to an earlier one, each told once."""
    again = {pair.second for pair in duplicates(texts)}
    kept = [place for place in range(len(texts)) if place not in again]
    found: dict[int, Pair] = {}
    signed = signatures([texts[place] for place in kept])
    unlike: set[tuple[int, int]] = set()
    for bucket in _buckets(signed):
        for pair in {*pairwise(bucket), *((bucket[0], k) for k in bucket[1:])} - unlike:
            first, second = kept[pair[0]], kept[pair[1]]
            if second not in found and _estimate(signed, *pair) >= threshold - _DOUBT:
                similarity = jaccard(texts[first], texts[second])
                if similarity >= threshold:
                    found[second] = Pair(first, second, similarity)
                else:
                    unlike.add(pair)
    return [found[place] for place in sorted(found)]


def overlap(held_out: Sequence[str], train: Sequence[str], *, threshold: float = 0.8) -> Overlap:
    """Return which held-out texts are in the training texts, exactly or nearly."""
    where: dict[str, int] = {}
    for place, text in enumerate(train):
        where.setdefault(normalise(text), place)
    exact = {}
    for place, text in enumerate(held_out):
        if (match := where.get(normalise(text))) is not None:
            exact[place] = Pair(place, match, 1.0)
    near: dict[int, Pair] = {}
    signed = signatures([*held_out, *train])
    for bucket in _buckets(signed):
        held = [k for k in bucket if k < len(held_out) and k not in exact]
        trained = [k - len(held_out) for k in bucket if k >= len(held_out)][:_NEIGHBOURS]
        for place in held:
            for match in trained:
                if _estimate(signed, place, len(held_out) + match) < threshold - _DOUBT:
                    continue
                similarity = jaccard(held_out[place], train[match])
                if similarity >= max(threshold, near[place].similarity if place in near else 0):
                    near[place] = Pair(place, match, similarity)
    return Overlap(tuple(exact.values()), tuple(near[place] for place in sorted(near)))


def jaccard(one: str, other: str) -> float:
    """Return the share of three-word pieces that two texts have in common.

    >>> jaccard("a b c d", "a b c e")
    0.3333333333333333
    """
    mine, theirs = (set(_shingles([text])[0].tolist()) for text in (one, other))
    return len(mine & theirs) / max(1, len(mine | theirs))


def signatures(texts: Sequence[str]) -> Ints:
    """Return the MinHash signature of each text: uint64 [texts, hashes]."""
    draw = np.random.default_rng(0)
    factors = draw.integers(1, 2**63, size=_HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    signed = np.zeros((len(texts), _HASHES), dtype=np.uint64)
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        shingles, starts = _shingles(texts[start : start + _ROWS_AT_ONCE])
        rows = slice(start, start + len(starts))
        for k, factor in enumerate(factors):
            signed[rows, k] = np.minimum.reduceat(_mixed(shingles * factor), starts)
    return signed


def _estimate(signed: Ints, one: int, other: int) -> float:
    """Return how alike two texts are by their signatures, to about 0.05."""
    return float(np.mean(signed[one] == signed[other]))


def _buckets(signed: Ints) -> Iterator[list[int]]:
    """Yield the places, in order, of texts that agree in a whole band."""
    width = _HASHES // _BANDS
    for band in range(_BANDS):
        key = np.zeros(len(signed), dtype=np.uint64)
        for k in range(band * width, (band + 1) * width):
            key = _mixed(key + signed[:, k])
        order = np.argsort(key, kind="stable")
        is_new = np.append(key[order][1:] != key[order][:-1], True)
        ends = np.flatnonzero(is_new) + 1
        counts = np.diff(ends, prepend=0)
        for end, count in zip(ends[counts > 1], counts[counts > 1], strict=True):
            yield order[end - count : end].tolist()


def _shingles(texts: Sequence[str]) -> tuple[Ints, NDArray[np.int64]]:
    """Return the hashes of all three-word pieces [S] and where each text's begin [texts]."""
    known = _Codes()
    tokens: list[int] = []
    starts = []
    for text in texts:
        starts.append(len(tokens))
        words = _WORD.findall(text.casefold()) or [""]
        words += [""] * (3 - len(words))
        tokens += [known[word] for word in words]
    ids = np.array([*tokens, 0, 0], dtype=np.uint64)
    pieces = _mixed(_mixed(_mixed(ids[:-2]) + ids[1:-1]) + ids[2:])
    begins = np.array(starts, dtype=np.int64)
    ends = np.append(begins[1:], len(tokens))
    is_piece = np.ones(len(pieces), dtype=bool)
    is_piece[ends - 1] = is_piece[ends - 2] = False  # pieces that reach into the next text
    kept_before = np.concatenate([[0], np.cumsum(is_piece)])
    return pieces[is_piece], kept_before[begins]


class _Codes(dict[str, int]):
    """A number for each word, made when it is first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = code = zlib.crc32(word.encode("utf-8", "replace"))
        return code


def _mixed(x: Ints) -> Ints:
    """Return each number scattered over all 64 bits (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

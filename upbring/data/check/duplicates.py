"""Find exact and near duplicates, within one dataset or between held-out and training data.

Exact duplicates are equal up to case and white space. Near duplicates have a Jaccard similarity of
their word trigrams of at least `threshold`; they are found with MinHash signatures and banding
(Broder 1997). A text that shares a bucket with many others is compared with only some of them, so
the number of near duplicates is a lower bound.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_NUM_HASHES = 64
_NUM_BANDS = 16  # of 4 hashes each: similarity 0.8 is found with probability 0.9998
_TEXTS_PER_CHUNK = 8192
_MAX_NEIGHBORS = 8
_ESTIMATE_MARGIN = 0.2  # four standard errors of a similarity of 0.8 estimated from 64 hashes
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")
UintArray = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """The indices of two texts and their similarity; 1 means equal."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Held-out texts (`first`) that are also training texts (`second`), each listed once."""

    exact: tuple[DuplicatePair, ...]
    near: tuple[DuplicatePair, ...]


def normalize(text: str) -> str:
    r"""Return the text by which exact duplicates are compared.

    >>> normalize("  What is\n2 + 2? ")
    'what is 2 + 2?'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def exact_duplicates(texts: Sequence[str]) -> list[DuplicatePair]:
    """Return every text that repeats an earlier one, paired with the first that is equal."""
    first_index: dict[str, int] = {}
    pairs = []
    for index, text in enumerate(texts):
        earlier = first_index.setdefault(normalize(text), index)
        if earlier != index:
            pairs.append(DuplicatePair(earlier, index, 1.0))
    return pairs


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8) -> list[DuplicatePair]:
    """Return texts that are nearly but not exactly equal to an earlier one, each listed once."""
    exact_copies = {pair.second for pair in exact_duplicates(texts)}
    candidates = [index for index in range(len(texts)) if index not in exact_copies]
    pairs: dict[int, DuplicatePair] = {}
    minhashes = minhash_signatures([texts[index] for index in candidates])
    rejected: set[tuple[int, int]] = set()
    for bucket in _shared_band_buckets(minhashes):
        for pair in {*pairwise(bucket), *((bucket[0], k) for k in bucket[1:])} - rejected:
            first, second = candidates[pair[0]], candidates[pair[1]]
            if (
                second not in pairs
                and _estimate_similarity(minhashes, *pair) >= threshold - _ESTIMATE_MARGIN
            ):
                similarity = jaccard(texts[first], texts[second])
                if similarity >= threshold:
                    pairs[second] = DuplicatePair(first, second, similarity)
                else:
                    rejected.add(pair)
    return [pairs[index] for index in sorted(pairs)]


def overlap(held_out: Sequence[str], train: Sequence[str], *, threshold: float = 0.8) -> Overlap:
    """Return the held-out texts that are exactly or nearly equal to a training text."""
    train_index_of: dict[str, int] = {}
    for index, text in enumerate(train):
        train_index_of.setdefault(normalize(text), index)
    exact = {}
    for index, text in enumerate(held_out):
        if (match := train_index_of.get(normalize(text))) is not None:
            exact[index] = DuplicatePair(index, match, 1.0)
    near: dict[int, DuplicatePair] = {}
    minhashes = minhash_signatures([*held_out, *train])
    for bucket in _shared_band_buckets(minhashes):
        held_out_indices = [k for k in bucket if k < len(held_out) and k not in exact]
        train_indices = [k - len(held_out) for k in bucket if k >= len(held_out)][:_MAX_NEIGHBORS]
        for index in held_out_indices:
            for match in train_indices:
                if (
                    _estimate_similarity(minhashes, index, len(held_out) + match)
                    < threshold - _ESTIMATE_MARGIN
                ):
                    continue
                similarity = jaccard(held_out[index], train[match])
                if similarity >= max(threshold, near[index].similarity if index in near else 0):
                    near[index] = DuplicatePair(index, match, similarity)
    return Overlap(tuple(exact.values()), tuple(near[index] for index in sorted(near)))


def jaccard(first: str, second: str) -> float:
    """Return the Jaccard similarity of the word trigrams of two texts.

    >>> jaccard("a b c d", "a b c e")
    0.3333333333333333
    """
    first_shingles, second_shingles = (
        set(_hash_shingles([text])[0].tolist()) for text in (first, second)
    )
    return len(first_shingles & second_shingles) / max(1, len(first_shingles | second_shingles))


def minhash_signatures(texts: Sequence[str]) -> UintArray:
    """Return the MinHash signature of each text: uint64 `[texts, hashes]`."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, size=_NUM_HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    minhashes = np.zeros((len(texts), _NUM_HASHES), dtype=np.uint64)
    for start in range(0, len(texts), _TEXTS_PER_CHUNK):
        shingles, starts = _hash_shingles(texts[start : start + _TEXTS_PER_CHUNK])
        rows = slice(start, start + len(starts))
        for k, factor in enumerate(factors):
            minhashes[rows, k] = np.minimum.reduceat(_mix_bits(shingles * factor), starts)
    return minhashes


def _estimate_similarity(minhashes: UintArray, first: int, second: int) -> float:
    """Return the similarity of two texts estimated from their signatures, to about 0.05."""
    return float(np.mean(minhashes[first] == minhashes[second]))


def _shared_band_buckets(minhashes: UintArray) -> Iterator[list[int]]:
    """Yield the sorted indices of the texts that agree in a whole band."""
    width = _NUM_HASHES // _NUM_BANDS
    for band in range(_NUM_BANDS):
        key = np.zeros(len(minhashes), dtype=np.uint64)
        for k in range(band * width, (band + 1) * width):
            key = _mix_bits(key + minhashes[:, k])
        order = np.argsort(key, kind="stable")
        is_new = np.append(key[order][1:] != key[order][:-1], True)
        ends = np.flatnonzero(is_new) + 1
        counts = np.diff(ends, prepend=0)
        for end, count in zip(ends[counts > 1], counts[counts > 1], strict=True):
            yield order[end - count : end].tolist()


def _hash_shingles(texts: Sequence[str]) -> tuple[UintArray, NDArray[np.int64]]:
    """Return the hashes of all word trigrams `[S]` and where those of each text begin `[texts]`."""
    word_codes = _WordCodes()
    tokens: list[int] = []
    starts = []
    for text in texts:
        starts.append(len(tokens))
        words = _WORD.findall(text.casefold()) or [""]
        words += [""] * (3 - len(words))
        tokens += [word_codes[word] for word in words]
    ids = np.array([*tokens, 0, 0], dtype=np.uint64)
    shingles = _mix_bits(_mix_bits(_mix_bits(ids[:-2]) + ids[1:-1]) + ids[2:])
    text_starts = np.array(starts, dtype=np.int64)
    text_ends = np.append(text_starts[1:], len(tokens))
    is_inside = np.ones(len(shingles), dtype=bool)  # False for shingles that span two texts
    is_inside[text_ends - 1] = is_inside[text_ends - 2] = False
    num_shingles_before = np.concatenate([[0], np.cumsum(is_inside)])
    return shingles[is_inside], num_shingles_before[text_starts]


class _WordCodes(dict[str, int]):
    """A hash for each word, computed on first access."""

    def __missing__(self, word: str) -> int:
        self[word] = code = zlib.crc32(word.encode("utf-8", "replace"))
        return code


def _mix_bits(x: UintArray) -> UintArray:
    """Return each number hashed to 64 bits with the finalizer of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

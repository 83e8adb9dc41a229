"""Data files to trees for a stage: read, encode, cache, truncate, split and mix.

Dropped and truncated rows are counted and logged. Rows are tokenized once: the cache key covers the
file's hash, the template, the tokenizer and the settings that affect the tokens. The log messages
are cached too. With `skip_bad` the cache is not read, because the malformed rows must be written.
"""

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from upbring import __version__, durable
from upbring.data.read.folders import expand_folders
from upbring.data.trees.store import (
    TreeStore,
    build_store,
    cache_folder,
    open_store,
    temporary_cache_folder,
)
from upbring.data.trees.stream import MixtureSource
from upbring.data.trees.tree import Tree, Trees
from upbring.errors import InputError, ResourceError, format_value
from upbring.maths import counter_rng
from upbring.plurals import format_count
from upbring.runs.data_file import DataFile
from upbring.runs.source_results import read_source_results
from upbring.settings.data import DataSettings
from upbring.tracking import Track, no_tracking

Log = Callable[[str], None]
LINE_SUFFIXES = {".jsonl", ".ndjson", ".csv"}  # a row is about a line
BLOCK_BYTES = 1 << 20
FEW_HELD_OUT = 5  # with fewer examples, the held-out loss is hardly more than noise
MAX_HELD_OUT = 200
STALE_AFTER_SECONDS = 3600  # temporary files in the cache that are older belong to dead processes
# part of the cache key: other versions may make other tokens
ENCODER_VERSION = f"upbring {__version__}, tokenizers {version('tokenizers')}"


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a file's rows become trees: the function, and the values that determine its output."""

    encode: Callable[[Path, Log], tuple[Iterable[Tree], str]]  # also returns the format's name
    identity: tuple[str, ...]
    is_cacheable: bool = True  # whether the trees of a file may be read from the cache


@dataclass(frozen=True, eq=False)
class TreeSubset:
    """Some trees of a store, by index."""

    trees: Trees
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tree:
        return self.trees[int(self.indices[index])]


@dataclass(frozen=True, eq=False)
class ConcatTrees:
    """The trees of several stores, one after another."""

    parts: Sequence[Trees]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Tree:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The trees that a stage is trained on and evaluated on."""

    main: Trees
    mixed: tuple[MixtureSource, ...]
    held_out: Trees
    files: tuple[DataFile, ...] = field(default=())


def make_dataset(
    settings: DataSettings,
    encoder: Encoder,
    *,
    seed: int,
    log: Log,
    poll: Callable[[], None] = lambda: None,
    track: Track = no_tracking,
    mix_encoder: Encoder | None = None,
    transform: Callable[[Trees], Trees] = lambda trees: trees,
) -> Dataset:
    """Return the trees of all files that the settings name; `poll` raises to stop early.

    A `mix_encoder` encodes the files of `mix`, where they need another encoding than the data.
    `transform` changes the trees of the data before some are held out.
    """
    mixtures = _parse_mixtures(settings.mix)
    encode = partial(encode_file, log=log, poll=poll, track=track)
    encoded_data = [encode(path, encoder) for path in expand_folders(settings.data)]
    encoded_mix = [encode(path, mix_encoder or encoder) for path, _ in mixtures]
    encoded_held_out = [encode(path, encoder) for path in expand_folders(settings.held_out)]
    main = transform(ConcatTrees([trees for trees, _ in encoded_data]))
    held_out = transform(ConcatTrees([trees for trees, _ in encoded_held_out]))
    if not settings.held_out:
        main, held_out = split_held_out(main, settings.held_out_share, seed=seed)
    if not len(main):
        raise InputError(f"{settings.data[0]}: no row to train on; give at least one")
    log(f"{format_count(len(main), 'example')} to train on, {len(held_out):,} held out")
    if 0 < len(held_out) < FEW_HELD_OUT:
        log(
            f"held out: {format_count(len(held_out), 'example')}, too few to compare steps by, so "
            "that the last weights are kept; give more rows, a larger held_out_share, or held_out"
        )
    data_files = [
        *(file for _, file in (*encoded_data, *encoded_mix)),
        *(replace(file, purpose="held_out") for _, file in encoded_held_out),
    ]
    sources = tuple(
        MixtureSource(trees, share)
        for (trees, _), (_, share) in zip(encoded_mix, mixtures, strict=True)
    )
    empty_files = [
        path for (path, _), (trees, _) in zip(mixtures, encoded_mix, strict=True) if not len(trees)
    ]
    if empty_files:
        raise InputError(f"mix: {empty_files[0]}: no row is left to train on; raise max_length")
    return Dataset(main, sources, held_out, tuple(data_files))


def can_choose_step(dataset: Dataset, *, is_on_policy: bool) -> bool:
    """Whether there are enough examples to find the best step by.

    Without held-out prompts, on-policy methods measure the reward on training prompts.
    """
    count = len(dataset.held_out) or (len(dataset.main) if is_on_policy else 0)
    return count >= FEW_HELD_OUT


def _parse_mixtures(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """Return files and their shares, which sum to less than 1."""
    mixtures = [_parse_mixture(text) for text in texts]
    total = sum(share for _, share in mixtures)
    if total >= 1:
        raise InputError(
            f"mix: the weights sum to {total:g}, which leaves nothing for the data itself; "
            "use weights that sum to less than 1"
        )
    return mixtures


def _parse_mixture(text: str) -> tuple[Path, float]:
    """Return the file and the share of FILE=WEIGHT."""
    path, _, weight = text.rpartition("=")
    try:
        share = float(weight)
    except ValueError:
        share = -1.0
    if not path or not 0 < share < 1:
        raise InputError(
            f"mix: {format_value(text)} is not FILE=WEIGHT with a weight between 0 and 1; "
            "write it like general.jsonl=0.2"
        )
    return Path(path), share


def split_held_out(trees: Trees, share: float, *, seed: int) -> tuple[Trees, Trees]:
    """Return training trees and held-out trees; the held-out rows are sampled with `seed`."""
    keys = [trees[i].key for i in range(len(trees))]
    rows = list(dict.fromkeys(keys))  # a document's pieces share its key and stay together
    count = min(MAX_HELD_OUT, round(share * len(rows)), len(rows) - 1)
    if count <= 0:
        return trees, ()
    shuffled = counter_rng.permutation(counter_rng.key(seed, "held_out"), len(rows)).tolist()
    held_out_keys = {rows[row_index] for row_index in shuffled[:count]}
    is_held_out = np.array([key in held_out_keys for key in keys])
    return TreeSubset(trees, np.flatnonzero(~is_held_out)), TreeSubset(
        trees, np.flatnonzero(is_held_out)
    )


def encode_file(
    path: Path,
    encoder: Encoder,
    *,
    log: Log,
    poll: Callable[[], None] = lambda: None,
    track: Track = no_tracking,
) -> tuple[TreeStore, DataFile]:
    """Return a file's trees, from the cache if they were encoded before."""
    messages: list[str] = []

    def log_and_record(text: str) -> None:
        messages.append(text)
        log(text)

    trees, name = encoder.encode(path, log_and_record)  # raises if the path is wrong
    sha256 = durable.sha256_file(path)
    key_parts = [ENCODER_VERSION, str(path), sha256, encoder.is_cacheable, *encoder.identity]
    key = hashlib.sha256(json.dumps(key_parts).encode()).hexdigest()
    cache = cache_folder(log=log)
    durable.remove_leftovers(cache, min_idle_seconds=STALE_AFTER_SECONDS)
    try:
        store = _open_or_build(
            cache / key,
            path,
            encoder,
            _track_rows(trees, path, track),
            messages,
            log=log,
            poll=poll,
        )
    except ResourceError as error:  # the cache is full, which need not stop the run
        temporary = temporary_cache_folder(str(error).partition("; ")[0], log=log)
        messages.clear()
        trees, name = encoder.encode(path, log_and_record)
        store = _open_or_build(
            temporary / key,
            path,
            encoder,
            _track_rows(trees, path, track),
            messages,
            log=log,
            poll=poll,
        )
    rows = len({store[i].key for i in range(len(store))})
    results = read_source_results(path, sha256, log=log)
    notes = _row_notes(messages, path)
    return store, DataFile(str(path), sha256, rows, name, notes=notes, results=results)


def _row_notes(messages: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return what the messages say about the rows of a file, without its name."""
    texts = (text.removeprefix(f"{path}: ") for text in messages)
    return tuple(dict.fromkeys(text for text in texts if not text.startswith("format ")))


def _open_or_build(
    folder: Path,
    path: Path,
    encoder: Encoder,
    trees: Iterable[Tree],
    messages: list[str],
    *,
    log: Log,
    poll: Callable[[], None],
) -> TreeStore:
    """Return the store in a folder; if there is none, the trees of the file at `path` fill it."""
    on_wait = partial(_log_and_poll, functools.cache(log), f"{path}: is being encoded", poll=poll)
    with durable.wait_for_lock(folder.with_suffix(".lock"), waiting=on_wait):
        store = open_store(folder, log=log) if encoder.is_cacheable else None
        if store is None:
            messages.clear()
            store = build_store(folder, _poll_each(trees, poll), messages=messages)
        else:
            messages[:] = store.messages
            for text in messages:
                log(text)
    return store


def _log_and_poll(log: Log, where: str, *, poll: Callable[[], None]) -> None:
    """Log once what is waited for; raise if the user wants to stop."""
    log(f"{where} by another process; waiting for it")
    poll()


def _track_rows(trees: Iterable[Tree], path: Path, track: Track) -> Iterator[Tree]:
    """Yield trees and show how many rows of the file are encoded."""
    rows = itertools.groupby(trees, key=lambda tree: tree.key)  # a document may give several trees
    for _, row_trees in track(rows, total=_count_lines(path), label=f"{path}: tokenizing rows"):
        yield from row_trees


def _count_lines(path: Path) -> int | None:
    """Return the number of lines of a file that has a row on each; None for other files."""
    if path.suffix.lower() not in LINE_SUFFIXES or not path.is_file():
        return None
    with durable.explain_os_errors(path), path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK_BYTES), b""))


def _poll_each(trees: Iterable[Tree], poll: Callable[[], None]) -> Iterator[Tree]:
    for each in trees:
        poll()
        yield each


def truncate_trees(
    trees: Iterable[Tree], max_length: int, *, where: str, log: Log
) -> Iterator[Tree]:
    """Yield trees truncated to `max_length` tokens; log how many were truncated or dropped."""
    num_truncated = num_dropped = 0
    for item in trees:
        if item.longest_path <= max_length:
            yield item
            continue
        truncated = _truncate_tree(item, max_length)
        if truncated is None:
            num_dropped += 1
            continue
        num_truncated += 1
        yield truncated
    if num_truncated:
        log(
            f"{where}: {format_count(num_truncated, 'row', verb='is')} longer than max_length "
            f"{max_length} and truncated"
        )
    if num_dropped:
        log(
            f"{where}: {format_count(num_dropped, 'row', verb='is')} dropped: nothing to train on "
            f"is left within max_length {max_length}"
        )


def _truncate_tree(item: Tree, max_length: int) -> Tree | None:
    """Return a tree truncated to `max_length`; None if a branch has no weighted token left."""
    max_response_length = max_length - len(item.prompt)
    if max_response_length <= 0:
        return None
    branches = tuple(
        replace(b, tokens=b.tokens[:max_response_length], weight=b.weight[:max_response_length])
        for b in item.branches
    )
    if not all(branch.weight.any() for branch in branches):
        return None
    return replace(item, branches=branches)

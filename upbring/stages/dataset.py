"""Files to trees for a stage: read, rendered, cached, cut to length, split and mixed.

What is dropped or cut is counted and said. Rows are tokenised once: the cache is keyed by the
file's hash, the template, the tokenizer and the settings that decide about tokens, and keeps what
was said. Where malformed rows are skipped nothing is taken from it, for they are to be written.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from upbring import __version__, durable
from upbring.data.trees.store import Store, build, cache_folder, open_store
from upbring.data.trees.stream import Source
from upbring.data.trees.tree import Tree, Trees
from upbring.errors import InputError, shown
from upbring.maths import counter_rng
from upbring.runs.run_folder import DataFile
from upbring.settings.data import DataSettings

Notice = Callable[[str], None]
MOST_HELD_OUT = 200
LEFTOVER_SECONDS = 3600  # what nobody has touched for so long in the cache is of the dead
ENCODING = f"upbring {__version__}, tokenizers {version('tokenizers')}"  # makes the same tokens


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a file's rows become trees: the function, and what decides about its outcome."""

    trees: Callable[[Path, Notice], tuple[Iterable[Tree], str]]  # and the format's name
    identity: tuple[str, ...]
    is_kept: bool = True  # whether the trees of a file may come from the cache


@dataclass(frozen=True, eq=False)
class Selected:
    """Some trees of a store, by index."""

    store: Trees
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tree:
        return self.store[int(self.indices[index])]


@dataclass(frozen=True, eq=False)
class Joined:
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
    """What a stage learns from and what it is evaluated on."""

    main: Trees
    mixed: tuple[Source, ...]
    held_out: Trees
    files: tuple[DataFile, ...] = field(default=())


def make_dataset(
    settings: DataSettings,
    encoder: Encoder,
    *,
    seed: int,
    notice: Notice,
    poll: Callable[[], None] = lambda: None,
    mix_encoder: Encoder | None = None,
    arrange: Callable[[Trees], Trees] = lambda trees: trees,
) -> Dataset:
    """Return the trees of all files that the settings name; `poll` raises to stop on the way.

    With a `mix_encoder`, what is mixed in is read in another way than the data. `arrange` puts the
    trees of the data in another form before some are held out.
    """
    mixtures = _mixtures(settings.mix)
    encode = partial(encode_file, notice=notice, poll=poll)
    everything = [encode(path, encoder) for path in settings.data]
    mixed = [encode(path, mix_encoder or encoder) for path, _ in mixtures]
    held = [encode(path, encoder) for path in settings.held_out]
    main = arrange(Joined([trees for trees, _ in everything]))
    held_out = arrange(Joined([trees for trees, _ in held]))
    if not settings.held_out:
        main, held_out = split(main, settings.held_out_share, seed=seed)
    if not len(main):
        raise InputError(f"{settings.data[0]}: there is no row to learn from; give at least one")
    notice(f"{len(main)} examples to learn from, {len(held_out)} held out")
    facts = [
        *(file for _, file in (*everything, *mixed)),
        *(replace(file, purpose="held_out") for _, file in held),
    ]
    sources = tuple(
        Source(trees, share) for (trees, _), (_, share) in zip(mixed, mixtures, strict=True)
    )
    empty = [path for (path, _), (trees, _) in zip(mixtures, mixed, strict=True) if not len(trees)]
    if empty:
        raise InputError(f"mix: {empty[0]}: no row is left to learn from; raise max_length")
    return Dataset(main, sources, held_out, tuple(facts))


def _mixtures(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """Return files and shares, which leave something to the data itself."""
    found = [_mixture(text) for text in texts]
    total = sum(share for _, share in found)
    if total >= 1:
        raise InputError(
            f"mix: the weights sum to {total:g}, which leaves nothing to the data itself; "
            "let them sum to less than 1"
        )
    return found


def _mixture(text: str) -> tuple[Path, float]:
    """Return the file and the share of FILE=WEIGHT."""
    path, _, weight = text.rpartition("=")
    try:
        share = float(weight)
    except ValueError:
        share = -1.0
    if not path or not 0 < share < 1:
        raise InputError(
            f"mix: {shown(text)} is no FILE=WEIGHT with a weight between 0 and 1; "
            "write it as general.jsonl=0.2"
        )
    return Path(path), share


def split(trees: Trees, share: float, *, seed: int) -> tuple[Trees, Trees]:
    """Return what is learned from and what is held out: a share of the rows, drawn from `seed`."""
    keys = [trees[i].key for i in range(len(trees))]
    rows = list(dict.fromkeys(keys))  # a document's pieces share its key and stay together
    count = min(MOST_HELD_OUT, round(share * len(rows)), len(rows) - 1)
    if count <= 0:
        return trees, ()
    drawn = counter_rng.order(counter_rng.key(seed, "held_out"), len(rows)).tolist()
    held = {rows[place] for place in drawn[:count]}
    is_held = np.array([key in held for key in keys])
    return Selected(trees, np.flatnonzero(~is_held)), Selected(trees, np.flatnonzero(is_held))


def encode_file(
    path: Path, encoder: Encoder, *, notice: Notice, poll: Callable[[], None] = lambda: None
) -> tuple[Store, DataFile]:
    """Return a file's trees, from the cache if the same were made before."""
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        notice(text)

    trees, name = encoder.trees(path, tell)  # says what is wrong with the path, if anything is
    sha256 = durable.sha256_file(path)
    what = [ENCODING, str(path), sha256, encoder.is_kept, *encoder.identity]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()
    cache = cache_folder(notice=notice)
    durable.sweep(cache, quiet_seconds=LEFTOVER_SECONDS)
    folder = cache / key
    said = folder.with_suffix(".json")  # after the rows, told again when they are not read again
    waiting = partial(_wait, functools.cache(notice), f"{path}: is being encoded", poll=poll)
    with durable.turn(folder.with_suffix(".lock"), waiting=waiting):
        store = open_store(folder) if encoder.is_kept and said.is_file() else None
        if store is None:
            told.clear()
            store = build(folder, _polled(trees, poll))
            durable.write_json(said, [*told])
        else:
            for text in json.loads(said.read_bytes()):
                notice(text)
    rows = len({store[i].key for i in range(len(store))})
    return store, DataFile(str(path), sha256, rows, name)


def _wait(notice: Notice, where: str, *, poll: Callable[[], None]) -> None:
    """Say, once, what is waited for, and leave if the user wants to."""
    notice(f"{where} by another process; waiting for it")
    poll()


def _polled(trees: Iterable[Tree], poll: Callable[[], None]) -> Iterator[Tree]:
    for each in trees:
        poll()
        yield each


def shortened(trees: Iterable[Tree], longest: int, *, where: str, notice: Notice) -> Iterator[Tree]:
    """Yield trees cut at the end to `longest` tokens; tell how many were cut or had to go."""
    num_cut = num_gone = 0
    for item in trees:
        if item.longest <= longest:
            yield item
            continue
        rest = _cut(item, longest)
        if rest is None:
            num_gone += 1
            continue
        num_cut += 1
        yield rest
    if num_cut:
        notice(f"{where}: {num_cut} rows are longer than max_length {longest} and were cut there")
    if num_gone:
        notice(
            f"{where}: {num_gone} rows are not used: nothing to learn from is left within "
            f"max_length {longest}"
        )


def _cut(item: Tree, longest: int) -> Tree | None:
    """Return a tree cut to `longest` tokens, or nothing if a branch has nothing left to learn."""
    room = longest - len(item.prompt)
    if room <= 0:
        return None
    branches = tuple(
        replace(b, tokens=b.tokens[:room], weight=b.weight[:room]) for b in item.branches
    )
    if not all(branch.weight.any() for branch in branches):
        return None
    return replace(item, branches=branches)

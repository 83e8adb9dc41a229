"""Trees on disk: encoded once, then mapped into memory, whatever their number.

A store is a folder of flat arrays, saved whole with a manifest: the tokens of all trees end to end,
the weights of all branches, and where each begins. `store[i]` is a tree whose arrays are views of
the mapped files, so that a store larger than memory can be read. Facts about branches (the rank of
a response) lie beside them, one number per branch.

    tokens.i32       prompt, branch, branch │ prompt, branch, branch │ …
    weights.f32              branch, branch │         branch, branch │ …
    tokens_end.i64   of each tree           weights_end.i64   of each tree
    branches_end.i64 of each tree           branch_size.i64   of each branch
    keys.u8          keys_end.i64           facts.<name>.f64  of each branch

Left out: who may use which store; the caller names the folder after a hash of all that decides.
And notes about tokens, which are of the moment.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt

from upbring import durable
from upbring.data.trees.tree import Branch, Tree

FORMAT = 1
_ABOUT = "store.json"
_ARRAYS = {
    "tokens": "<i4",
    "weights": "<f4",
    "tokens_end": "<i8",
    "weights_end": "<i8",
    "branches_end": "<i8",
    "branch_size": "<i8",
    "keys": "|u1",
    "keys_end": "<i8",
}
_TREES_AT_ONCE, _TOKENS_AT_ONCE = 1024, 500_000

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Store(Sequence[Tree]):
    """The trees of a folder, in the order in which they were built."""

    folder: Path
    arrays: Mapping[str, Array]
    facts: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.arrays["tokens_end"])

    @overload
    def __getitem__(self, index: int) -> Tree: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tree]: ...
    def __getitem__(self, index: int | slice) -> Tree | list[Tree]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # raises IndexError, and counts from the end
        tokens, weights = self._part("tokens", place), self._part("weights", place)
        prompt = len(tokens) - len(weights)
        sizes = self.arrays["branch_size"][slice(*self._span("branches_end", place))]
        ends = np.cumsum(sizes).tolist()
        branches = tuple(
            Branch(tokens[prompt + start : prompt + end], weights[start:end])
            for start, end in zip([0, *ends], ends, strict=False)
        )
        key = bytes(self._part("keys", place)).decode()
        return Tree(tokens[:prompt], branches, key, self._facts_of(place))

    @functools.cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each tree, its prompt counted once."""
        return np.diff(self.arrays["tokens_end"], prepend=0)

    def _facts_of(self, place: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return the facts of a tree, one number per branch."""
        span = slice(*self._span("branches_end", place))
        return {name: values[span] for name, values in self.facts.items()}

    def _part(self, name: str, place: int) -> Array:
        """Return a tree's part of an array."""
        part: Array = self.arrays[name][slice(*self._span(f"{name}_end", place))]
        return part

    def _span(self, name: str, place: int) -> tuple[int, int]:
        """Return where a tree's part begins and ends."""
        ends = self.arrays[name]
        return (int(ends[place - 1]) if place else 0), int(ends[place])


def build(folder: Path, trees: Iterable[Tree]) -> Store:
    """Return a new store of `trees`, saved in `folder`; all have facts of the same names, or none.

    Only some trees are in memory at a time. What was in `folder` is replaced once all is written.
    """
    with durable.folder(folder) as making:
        with contextlib.ExitStack() as files:
            writer = _Writer(making, files)
            for tree in trees:
                writer.add(tree)
            writer.flush()
        about = {"format": FORMAT, "facts": sorted(writer.facts)}
        (making / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return _mapped(folder, writer.facts)


def open_store(folder: Path) -> Store | None:
    """Return the store of a folder; nothing if there is none, or another format's, or a damaged."""
    if not folder.is_dir():
        return None
    try:
        durable.verify(folder)
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (durable.Damaged, OSError, ValueError):
        return None
    return _mapped(folder, about["facts"]) if about["format"] == FORMAT else None


def cache_folder(*, notice: Callable[[str], None]) -> Path:
    """Return a folder for what can be made again: $UPBRING_CACHE, or where the platform keeps such.

    Where that cannot be written, a temporary folder serves, and `notice` is told.
    """
    for folder in _candidates():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reason = f"{folder}: {error.strerror or error}"
    temporary = Path(tempfile.mkdtemp(prefix="upbring-"))
    notice(
        f"the cache cannot be written ({reason}); encoded rows go to {temporary} and are made "
        "again next time; set UPBRING_CACHE to a folder that can be written"
    )
    return temporary


def _candidates() -> list[Path]:
    """Return where the cache may lie: where the user says, else where the platform does."""
    chosen = os.environ.get("UPBRING_CACHE")
    if chosen:
        return [Path(chosen)]
    parent = os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA", parent)
    if parent:
        return [Path(parent) / "upbring"]
    below = "Library/Caches" if sys.platform == "darwin" else ".cache"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 -- Path.home() raises where there is no home
    return [home / below / "upbring"]


class _Writer:
    """Appends trees to the files of a store."""

    def __init__(self, folder: Path, files: contextlib.ExitStack) -> None:
        self.facts: list[str] = []
        self._files: dict[str, BinaryIO] = {}
        self._waiting: dict[str, list[Array]] = {}
        self._places = dict.fromkeys(("tokens", "weights", "keys", "branches"), 0)
        self._count = self._flushed = 0
        self._folder, self._stack = folder, files
        for name, kind in _ARRAYS.items():
            self._open(name, kind)

    def add(self, tree: Tree) -> None:
        """Append a tree, and the facts about its branches."""
        facts = tree.facts
        if self._count == 0:
            self.facts = sorted(facts)
            for name in self.facts:
                self._open(f"facts.{name}", "<f8")
        assert sorted(facts) == self.facts, f"tree {tree.key!r} has other facts than those before"
        sizes = [len(branch.tokens) for branch in tree.branches]
        assert sizes == [len(b.weight) for b in tree.branches], f"{tree.key!r}: a weight per token"
        assert all(len(v) == len(sizes) for v in facts.values()), f"{tree.key!r}: one per branch"
        key = np.frombuffer(tree.key.encode(), np.uint8)
        self._append("tokens", [tree.prompt, *(branch.tokens for branch in tree.branches)])
        self._append("weights", [branch.weight for branch in tree.branches])
        self._append("keys", [key])
        self._append("branch_size", [np.asarray(sizes)])
        for name, values in facts.items():
            self._append(f"facts.{name}", [np.asarray(values)])
        grown = (len(tree.prompt) + sum(sizes), sum(sizes), len(key), len(sizes))
        for name, size in zip(self._places, grown, strict=True):
            self._places[name] += size
            self._append(f"{name}_end", [np.asarray([self._places[name]])])
        self._count += 1
        many = self._places["tokens"] - self._flushed >= _TOKENS_AT_ONCE
        if many or self._count % _TREES_AT_ONCE == 0:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._flushed = self._places["tokens"]
        for name, (file, parts) in self._pairs():
            kind = _ARRAYS.get(name, "<f8")
            file.write(np.concatenate(parts).astype(kind).tobytes())
            self._waiting[name] = []

    def _pairs(self) -> list[tuple[str, tuple[BinaryIO, list[Array]]]]:
        """Return the files for which something waits."""
        return [(n, (self._files[n], parts)) for n, parts in self._waiting.items() if parts]

    def _open(self, name: str, kind: str) -> None:
        """Begin a file."""
        path = _path(self._folder, name, kind)
        self._files[name] = self._stack.enter_context(path.open("wb"))
        self._waiting[name] = []

    def _append(self, name: str, parts: Iterable[Array]) -> None:
        """Put parts in line to be written."""
        self._waiting[name].extend(parts)


def _mapped(folder: Path, facts: Iterable[str]) -> Store:
    """Return the store of a folder, its files mapped."""
    arrays = {name: _map(_path(folder, name, kind), kind) for name, kind in _ARRAYS.items()}
    known = {name: _map(_path(folder, f"facts.{name}", "<f8"), "<f8") for name in facts}
    return Store(folder, arrays, known)


def _path(folder: Path, name: str, kind: str) -> Path:
    """Return an array's file; its ending tells the kind and the bits of its numbers."""
    return folder / f"{name}.{kind[1]}{8 * int(kind[2])}"


def _map(path: Path, kind: str) -> Array:
    """Return a file as an array; an empty one cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, kind)
    return np.asarray(np.memmap(path, kind, mode="r"))

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
_MANIFEST = "store.json"
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
_FLUSH_TREES, _FLUSH_TOKENS = 1024, 500_000

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TreeStore(Sequence[Tree]):
    """The trees of a folder, in the order in which they were built."""

    folder: Path
    arrays: Mapping[str, Array]
    per_branch: Mapping[str, npt.NDArray[np.float64]]

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
        tokens, weights = self._slice_of("tokens", place), self._slice_of("weights", place)
        prompt = len(tokens) - len(weights)
        sizes = self.arrays["branch_size"][slice(*self._bounds("branches_end", place))]
        ends = np.cumsum(sizes).tolist()
        branches = tuple(
            Branch(tokens[prompt + start : prompt + end], weights[start:end])
            for start, end in zip([0, *ends], ends, strict=False)
        )
        key = bytes(self._slice_of("keys", place)).decode()
        return Tree(tokens[:prompt], branches, key, self._per_branch_of(place))

    @functools.cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each tree, its prompt counted once."""
        return np.diff(self.arrays["tokens_end"], prepend=0)

    def _per_branch_of(self, index: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return the facts of a tree, one number per branch."""
        span = slice(*self._bounds("branches_end", index))
        return {name: values[span] for name, values in self.per_branch.items()}

    def _slice_of(self, name: str, index: int) -> Array:
        """Return a tree's part of an array."""
        part: Array = self.arrays[name][slice(*self._bounds(f"{name}_end", index))]
        return part

    def _bounds(self, name: str, index: int) -> tuple[int, int]:
        """Return where a tree's part begins and ends."""
        ends = self.arrays[name]
        return (int(ends[index - 1]) if index else 0), int(ends[index])


def build_store(folder: Path, trees: Iterable[Tree]) -> TreeStore:
    """Return a new store of `trees`, saved in `folder`; all have facts of the same names, or none.

    Only some trees are in memory at a time. What was in `folder` is replaced once all is written.
    """
    with durable.atomic_folder(folder) as temporary:
        with contextlib.ExitStack() as files:
            writer = _Writer(temporary, files)
            for tree in trees:
                writer.add(tree)
            writer.flush()
        manifest = {"format": FORMAT, "facts": sorted(writer.per_branch_names)}
        (temporary / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return _map_store(folder, writer.per_branch_names)


def open_store(folder: Path) -> TreeStore | None:
    """Return the store of a folder; nothing if there is none, or another format's, or a damaged."""
    if not folder.is_dir():
        return None
    try:
        durable.verify(folder)
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (durable.Damaged, OSError, ValueError):
        return None
    return _map_store(folder, manifest["facts"]) if manifest["format"] == FORMAT else None


def cache_folder(*, log: Callable[[str], None]) -> Path:
    """Return a folder for what can be made again: $UPBRING_CACHE, or where the platform keeps such.

    Where that cannot be written, a temporary folder serves, and `log` is told.
    """
    for folder in _cache_candidates():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reason = f"{folder}: {error.strerror or error}"
    temporary = Path(tempfile.mkdtemp(prefix="upbring-"))
    log(
        f"the cache cannot be written ({reason}); encoded rows go to {temporary} and are made "
        "again next time; set UPBRING_CACHE to a folder that can be written"
    )
    return temporary


def _cache_candidates() -> list[Path]:
    """Return where the cache may lie: where the user says, else where the platform does."""
    configured = os.environ.get("UPBRING_CACHE")
    if configured:
        return [Path(configured)]
    parent = os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA", parent)
    if parent:
        return [Path(parent) / "upbring"]
    subfolder = "Library/Caches" if sys.platform == "darwin" else ".cache"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 -- Path.home() raises where there is no home
    return [home / subfolder / "upbring"]


class _Writer:
    """Appends trees to the files of a store."""

    def __init__(self, folder: Path, files: contextlib.ExitStack) -> None:
        self.per_branch_names: list[str] = []
        self._files: dict[str, BinaryIO] = {}
        self._pending: dict[str, list[Array]] = {}
        self._totals = dict.fromkeys(("tokens", "weights", "keys", "branches"), 0)
        self._num_trees = self._flushed_tokens = 0
        self._folder, self._exit_stack = folder, files
        for name, dtype in _ARRAYS.items():
            self._open(name, dtype)

    def add(self, tree: Tree) -> None:
        """Append a tree, and the facts about its branches."""
        per_branch = tree.per_branch
        if self._num_trees == 0:
            self.per_branch_names = sorted(per_branch)
            for name in self.per_branch_names:
                self._open(f"facts.{name}", "<f8")
        assert sorted(per_branch) == self.per_branch_names, (
            f"tree {tree.key!r} has other facts than those before"
        )
        sizes = [len(branch.tokens) for branch in tree.branches]
        assert sizes == [len(b.weight) for b in tree.branches], f"{tree.key!r}: a weight per token"
        assert all(len(v) == len(sizes) for v in per_branch.values()), (
            f"{tree.key!r}: one per branch"
        )
        key = np.frombuffer(tree.key.encode(), np.uint8)
        self._append("tokens", [tree.prompt, *(branch.tokens for branch in tree.branches)])
        self._append("weights", [branch.weight for branch in tree.branches])
        self._append("keys", [key])
        self._append("branch_size", [np.asarray(sizes)])
        for name, values in per_branch.items():
            self._append(f"facts.{name}", [np.asarray(values)])
        increments = (len(tree.prompt) + sum(sizes), sum(sizes), len(key), len(sizes))
        for name, size in zip(self._totals, increments, strict=True):
            self._totals[name] += size
            self._append(f"{name}_end", [np.asarray([self._totals[name]])])
        self._num_trees += 1
        is_full = self._totals["tokens"] - self._flushed_tokens >= _FLUSH_TOKENS
        if is_full or self._num_trees % _FLUSH_TREES == 0:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._flushed_tokens = self._totals["tokens"]
        for name, (file, parts) in self._pending_files():
            dtype = _ARRAYS.get(name, "<f8")
            file.write(np.concatenate(parts).astype(dtype).tobytes())
            self._pending[name] = []

    def _pending_files(self) -> list[tuple[str, tuple[BinaryIO, list[Array]]]]:
        """Return the files for which something waits."""
        return [(n, (self._files[n], parts)) for n, parts in self._pending.items() if parts]

    def _open(self, name: str, dtype: str) -> None:
        """Begin a file."""
        path = _array_path(self._folder, name, dtype)
        self._files[name] = self._exit_stack.enter_context(path.open("wb"))
        self._pending[name] = []

    def _append(self, name: str, parts: Iterable[Array]) -> None:
        """Put parts in line to be written."""
        self._pending[name].extend(parts)


def _map_store(folder: Path, per_branch: Iterable[str]) -> TreeStore:
    """Return the store of a folder, its files mapped."""
    arrays = {
        name: _map_array(_array_path(folder, name, kind), kind) for name, kind in _ARRAYS.items()
    }
    per_branch = {
        name: _map_array(_array_path(folder, f"facts.{name}", "<f8"), "<f8") for name in per_branch
    }
    return TreeStore(folder, arrays, per_branch)


def _array_path(folder: Path, name: str, dtype: str) -> Path:
    """Return an array's file; its ending tells the kind and the bits of its numbers."""
    return folder / f"{name}.{dtype[1]}{8 * int(dtype[2])}"


def _map_array(path: Path, dtype: str) -> Array:
    """Return a file as an array; an empty one cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))

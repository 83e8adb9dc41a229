"""Stores encoded trees on disk and memory-maps them.

A store is a folder of flat arrays with a manifest: the tokens of all trees end to end, the weights
of all branches, and the end offset of each. `store[i]` is a tree whose arrays are views of the
mapped files, so a store can be larger than memory. Per-branch values (such as the rank of a
response) are stored in additional arrays, one number per branch.

    tokens.i32       prompt, branch, branch │ prompt, branch, branch │ …
    weights.f32              branch, branch │         branch, branch │ …
    tokens_end.i64   of each tree           weights_end.i64   of each tree
    branches_end.i64 of each tree           branch_size.i64   of each branch
    keys.u8          keys_end.i64           facts.<name>.f64  of each branch

Left out: cache invalidation (the caller names the folder after a hash of everything that
determines its content) and `per_token` values, which are only used within one training step.
"""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from upbring import durable
from upbring.data.trees.tree import Branch, Tree

FORMAT = 1
_CONTENT_FILE = "store.json"
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


@dataclass(frozen=True)
class _Content:
    """What `store.json` says: the names of per-branch values, and the messages of the encoding."""

    format: int
    facts: tuple[str, ...]
    messages: tuple[str, ...]


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True, eq=False)
class TreeStore(Sequence[Tree]):
    """The trees of a folder, in the order in which they were written."""

    folder: Path
    arrays: Mapping[str, Array]
    per_branch: Mapping[str, npt.NDArray[np.float64]]
    messages: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrays["tokens_end"])

    @overload
    def __getitem__(self, index: int) -> Tree: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tree]: ...
    def __getitem__(self, index: int | slice) -> Tree | list[Tree]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # raises IndexError; resolves negative indices
        tokens, weights = self._slice_of("tokens", row), self._slice_of("weights", row)
        prompt = len(tokens) - len(weights)
        sizes = self.arrays["branch_size"][slice(*self._bounds("branches_end", row))]
        ends = np.cumsum(sizes).tolist()
        branches = tuple(
            Branch(tokens[prompt + start : prompt + end], weights[start:end])
            for start, end in zip([0, *ends], ends, strict=False)
        )
        key = bytes(self._slice_of("keys", row)).decode()
        return Tree(tokens[:prompt], branches, key, self._per_branch_of(row))

    @functools.cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each tree; its prompt counts once."""
        return np.diff(self.arrays["tokens_end"], prepend=0)

    def _per_branch_of(self, index: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return a tree's per-branch values."""
        span = slice(*self._bounds("branches_end", index))
        return {name: values[span] for name, values in self.per_branch.items()}

    def _slice_of(self, name: str, index: int) -> Array:
        """Return a tree's part of an array."""
        part: Array = self.arrays[name][slice(*self._bounds(f"{name}_end", index))]
        return part

    def _bounds(self, name: str, index: int) -> tuple[int, int]:
        """Return the start and end of a tree's part."""
        ends = self.arrays[name]
        return (int(ends[index - 1]) if index else 0), int(ends[index])


def build_store(folder: Path, trees: Iterable[Tree], *, messages: Iterable[str] = ()) -> TreeStore:
    """Write `trees` to `folder` and return the store; all trees need the same `per_branch` names.

    Only some trees are in memory at a time. An existing `folder` is replaced after all trees are
    written. `messages` are stored too; they are read after the last tree.
    """
    with durable.atomic_folder(folder) as temporary:
        with contextlib.ExitStack() as files:
            writer = _Writer(temporary, files)
            for tree in trees:
                writer.add(tree)
            writer.flush()
        content = _Content(FORMAT, tuple(sorted(writer.per_branch_names)), tuple(messages))
        (temporary / _CONTENT_FILE).write_bytes(_CONTENT.dump_json(content))
    return _map_store(folder, content)


def open_store(folder: Path, *, log: Callable[[str], None] = lambda _: None) -> TreeStore | None:
    """Return the store in a folder, or None if it is missing, damaged or in another format.

    Damage is logged.
    """
    if not folder.is_dir():
        return None
    try:
        durable.verify(folder)
        content = _CONTENT.validate_json((folder / _CONTENT_FILE).read_bytes())
        return _map_store(folder, content) if content.format == FORMAT else None
    except durable.Damaged as error:
        log(f"{str(error).partition('; ')[0]}; making it again")
    except (OSError, ValueError):  # of another version
        pass
    return None


def cache_folder(*, log: Callable[[str], None]) -> Path:
    """Return the cache folder: $UPBRING_CACHE, or the platform's default.

    If it is not writable, return a temporary folder and log a warning.
    """
    for folder in _cache_candidates():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reason = f"{folder}: {error.strerror or error}"
    return temporary_cache_folder(reason, log=log)


def temporary_cache_folder(reason: str, *, log: Callable[[str], None]) -> Path:
    """Return a new temporary folder instead of the cache, and log why."""
    temporary = Path(tempfile.mkdtemp(prefix="upbring-"))
    log(
        f"the cache folder is not writable ({reason}); encoded rows are stored in {temporary} and "
        "are encoded again in the next run; set UPBRING_CACHE to a writable folder"
    )
    return temporary


def _cache_candidates() -> list[Path]:
    """Return the possible cache folders: the user's setting, or the platform's default."""
    configured = os.environ.get("UPBRING_CACHE")
    if configured:
        return [Path(configured)]
    parent = os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA", parent)
    if parent:
        return [Path(parent) / "upbring"]
    subfolder = "Library/Caches" if sys.platform == "darwin" else ".cache"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 -- Path.home() raises without a home
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
        """Append a tree and its per-branch values."""
        per_branch = tree.per_branch
        if self._num_trees == 0:
            self.per_branch_names = sorted(per_branch)
            for name in self.per_branch_names:
                self._open(f"facts.{name}", "<f8")
        assert sorted(per_branch) == self.per_branch_names, (
            f"tree {tree.key!r} has other per_branch names than the first tree"
        )
        sizes = [len(branch.tokens) for branch in tree.branches]
        assert sizes == [len(b.weight) for b in tree.branches], (
            f"{tree.key!r}: needs one weight per token"
        )
        assert all(len(v) == len(sizes) for v in per_branch.values()), (
            f"{tree.key!r}: needs one value per branch"
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
        """Write the buffered parts."""
        self._flushed_tokens = self._totals["tokens"]
        for name, (file, parts) in self._pending_files():
            dtype = _ARRAYS.get(name, "<f8")
            file.write(np.concatenate(parts).astype(dtype).tobytes())
            self._pending[name] = []

    def _pending_files(self) -> list[tuple[str, tuple[BinaryIO, list[Array]]]]:
        """Return the files with buffered parts."""
        return [(n, (self._files[n], parts)) for n, parts in self._pending.items() if parts]

    def _open(self, name: str, dtype: str) -> None:
        """Open a file for writing."""
        path = _array_path(self._folder, name, dtype)
        self._files[name] = self._exit_stack.enter_context(path.open("wb"))
        self._pending[name] = []

    def _append(self, name: str, parts: Iterable[Array]) -> None:
        """Buffer parts for writing."""
        self._pending[name].extend(parts)


def _map_store(folder: Path, content: "_Content") -> TreeStore:
    """Return the store in a folder with its files memory-mapped."""
    arrays = {
        name: _map_array(_array_path(folder, name, kind), kind) for name, kind in _ARRAYS.items()
    }
    per_branch = {
        name: _map_array(_array_path(folder, f"facts.{name}", "<f8"), "<f8")
        for name in content.facts
    }
    return TreeStore(folder, arrays, per_branch, content.messages)


def _array_path(folder: Path, name: str, dtype: str) -> Path:
    """Return an array's file; its suffix is the kind and the number of bits, such as `i32`."""
    return folder / f"{name}.{dtype[1]}{8 * int(dtype[2])}"


def _map_array(path: Path, dtype: str) -> Array:
    """Return a memory-mapped array; an empty file cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))

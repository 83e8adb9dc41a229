"""Reference log-probabilities of trees: computed once, cached on disk, reused by later runs.

The reference is the model as it was loaded: the base with its adapters disabled, or all its weights
before the first step. A folder in the cache, next to the encoded rows, contains

    logprobs.f32   of each token of each branch, NaN where the loss weight is 0
    ends.i64       of each tree, where its branches' tokens end

Its name is a hash of everything that determines the numbers: the weights, the trees, and how the
machine computes. A resumed run therefore reads the same bits, or computes them again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from upbring import __version__, durable
from upbring.data.trees.batch import Batch
from upbring.data.trees.shared_tokens import unshared_token_masks
from upbring.data.trees.store import TreeStore, cache_folder, temporary_cache_folder
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.durable import JSON
from upbring.errors import ResourceError
from upbring.model.load import weights_sha256
from upbring.model.packing import make_micro_batches
from upbring.model.roles import BASE
from upbring.model.score import score_tokens
from upbring.plurals import format_count
from upbring.stages.context import StageContext
from upbring.stages.dataset import ConcatTrees, TreeSubset
from upbring.stages.provenance import identity, micro_tokens
from upbring.stages.sft import make_stream
from upbring.tracking import Track, no_tracking

FORMAT = 1
_TREES_AT_ONCE = 512
_MAX_PARTIAL_SHARE = 0.5  # of an epoch; for longer runs, whole files are worth caching

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TreesWithReferenceLogprobs:
    """Trees with the per-token field `reference`: the log-probability under the reference."""

    trees: Trees
    logprobs: Array
    ends: Array

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        item = self.trees[index]
        start = int(self.ends[index - 1]) if index else 0
        branches: list[Branch] = []
        for branch in item.branches:
            stop = start + len(branch.tokens)
            logprobs = self.logprobs[start:stop]
            per_token = {**branch.per_token, "reference": logprobs}
            branches.append(replace(branch, per_token=per_token))
            start = stop
        return replace(item, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class TreesWithTokenMask:
    """Trees with the per-token field `counts`: 0 for special tokens that all branches share."""

    trees: Trees
    control_tokens: frozenset[int]

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        item = self.trees[index]
        pairs = zip(item.branches, unshared_token_masks(item, self.control_tokens), strict=True)
        branches = (replace(b, per_token={**b.per_token, "counts": counts}) for b, counts in pairs)
        return replace(item, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class PartlyAnnotatedTrees:
    """All trees, of which those with `indices` are replaced by `annotated`."""

    trees: Trees
    indices: Array  # sorted
    annotated: Trees

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        position = int(np.searchsorted(self.indices, index))
        if position < len(self.indices) and self.indices[position] == index:
            return self.annotated[position]
        return self.trees[index]


@dataclass(frozen=True, eq=False)
class ReferenceLogprobs:
    """Computes reference log-probabilities and caches them."""

    logprobs: Callable[[Batch], torch.Tensor]  # [R] of a batch
    pack: Callable[[Trees], list[Batch]]
    key: Sequence[JSON]  # what determines the numbers besides the trees
    folder: Path
    log: Callable[[str], None]
    poll: Callable[[], None] = lambda: None
    track: Track = no_tracking

    def annotate_files(self, trees: Trees) -> Trees:
        """Return the trees with `reference`; it is computed and cached for whole files."""
        if isinstance(trees, TreeSubset):
            return TreeSubset(self.annotate_files(trees.trees), trees.indices)
        if isinstance(trees, ConcatTrees):
            return ConcatTrees([self.annotate_files(part) for part in trees.parts])
        return self.annotate(trees)

    def annotate_some(self, trees: Trees, indices: Array) -> Trees:
        """Return the trees, of which those with the sorted `indices` have `reference`."""
        chosen = self.annotate(TreeSubset(trees, indices))
        return PartlyAnnotatedTrees(trees, indices, chosen)

    def annotate(self, trees: Trees) -> Trees:
        """Return the trees with `reference`; it is computed and cached for these trees only."""
        if not len(trees):
            return trees
        folder = self.folder / f"reference-{self._cache_key(trees)}"
        if (cached := _open_cached(folder, trees, log=self.log)) is not None:
            return cached
        self.log(
            f"reference: computing the log-probabilities of {format_count(len(trees), 'row')}, once"
        )
        try:
            with durable.atomic_folder(folder) as temporary:
                self._write(temporary, trees)
        except ResourceError as error:  # the cache is full, which need not stop the run
            reason = str(error).partition("; ")[0]
            folder = temporary_cache_folder(reason, log=self.log) / folder.name
            with durable.atomic_folder(folder) as temporary:
                self._write(temporary, trees)
        written = _open_cached(folder, trees, log=self.log)
        assert written is not None, f"{folder}: just written, and cannot be read"
        return written

    def _cache_key(self, trees: Trees) -> str:
        text = json.dumps([FORMAT, *self.key, _fingerprint(trees)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _write(self, folder: Path, trees: Trees) -> None:
        ends, total = [], 0
        with (folder / "logprobs.f32").open("wb") as file:
            for start in range(0, len(trees), _TREES_AT_ONCE):
                window = [trees[i] for i in range(start, min(start + _TREES_AT_ONCE, len(trees)))]
                for values in self._compute_logprobs(window):
                    file.write(values.astype("<f4").tobytes())
                    total += len(values)
                    ends.append(total)
        (folder / "ends.i64").write_bytes(np.asarray(ends, "<i8").tobytes())

    def _compute_logprobs(self, trees: Sequence[Tree]) -> Iterator[Array]:
        """Yield the log-probabilities of each tree's branch tokens."""
        numbered = [replace(t, key=str(i), per_branch={}) for i, t in enumerate(trees)]
        logprobs_by_index: dict[int, Array] = {}
        batches = self.pack(numbered)
        label = "reference log-probabilities"
        for batch in self.track(batches, total=len(batches), label=label):
            self.poll()
            batch_logprobs = self._score_batch(batch)
            start = 0
            for number in map(int, batch.keys):
                weight = np.concatenate([b.weight for b in trees[number].branches])
                values = np.full(len(weight), np.nan, np.float32)
                (positions,) = np.nonzero(weight)
                values[positions] = batch_logprobs[start : start + len(positions)]
                logprobs_by_index[number] = values
                start += len(positions)
        for number in range(len(trees)):
            yield logprobs_by_index[number]

    @torch.no_grad()
    def _score_batch(self, batch: Batch) -> Array:
        return self.logprobs(batch).float().cpu().numpy()


def few_used_trees(context: StageContext) -> list[Array] | None:
    """Return the trees of each source that the steps use; None if that is half an epoch or more."""
    stream = make_stream(context)
    steps = context.settings.steps or stream.num_steps
    if steps * stream.epochs >= _MAX_PARTIAL_SHARE * stream.num_steps:
        return None
    return stream.used_trees(steps)


def make_reference_logprobs(context: StageContext) -> ReferenceLogprobs:
    """Return the reference of a stage: its base, before any step."""
    loaded, machine = context.loaded, identity(context)["machine"]
    assert isinstance(machine, dict), "`machine` is a mapping"

    def logprobs(batch: Batch) -> torch.Tensor:
        with loaded.roles.active(BASE):
            return score_tokens(loaded.model, batch).logprobs

    max_batch_tokens = micro_tokens(context)
    return ReferenceLogprobs(
        logprobs=logprobs,
        pack=lambda trees: make_micro_batches(loaded.model, trees, max_batch_tokens),
        key=(
            *(__version__, torch.__version__),
            *(weights_sha256(loaded.folder), loaded.base_sha256, context.settings.tune),
            loaded.quantization,
            {name: value for name, value in machine.items() if name != "processes"},
        ),
        folder=cache_folder(log=context.log),
        log=context.log,
        poll=context.poll,
        track=context.track,
    )


def _open_cached(
    folder: Path, trees: Trees, *, log: Callable[[str], None]
) -> TreesWithReferenceLogprobs | None:
    """Return trees with the log-probabilities of a folder; None if it is damaged or missing."""
    if not folder.is_dir():
        return None
    try:
        durable.verify(folder)
        logprobs = np.memmap(folder / "logprobs.f32", "<f4", mode="r")
        ends = np.memmap(folder / "ends.i64", "<i8", mode="r")
    except durable.Damaged as error:
        log(f"{str(error).partition('; ')[0]}; computing it again")
        return None
    except (OSError, ValueError):
        return None
    if len(ends) != len(trees) or len(logprobs) != ends[-1]:
        return None
    return TreesWithReferenceLogprobs(trees, np.asarray(logprobs), np.asarray(ends))


def _fingerprint(trees: Trees) -> str:
    """Return a hash of the trees' tokens and weights; for a store, that of its manifest."""
    if isinstance(trees, TreeStore):
        return durable.sha256_file(trees.folder / "manifest.json")
    digest = hashlib.sha256()
    for index in range(len(trees)):
        item = trees[index]
        digest.update(np.asarray(item.prompt, "<i4").tobytes())
        for branch in item.branches:
            digest.update(len(branch.tokens).to_bytes(8, "little"))
            digest.update(np.asarray(branch.tokens, "<i4").tobytes())
            digest.update(np.asarray(branch.weight, "<f4").tobytes())
        digest.update(b"/")
    return digest.hexdigest()

"""What the reference thinks of trees: computed once, kept on disk, found again by later runs.

The reference is the model as it was loaded: the base with its adapters off, or all its weights
before the first step. The log-probability of each token of each branch lies in a file in the cache,
beside the encoded rows:

    logprobs.f32   of each token of each branch, NaN where nothing is learned
    ends.i64       of each tree, where its branches' tokens end

It is named after all that decides about the numbers: the weights, the trees, and how the machine
computes. So a run that is resumed finds the same bits, or computes them anew.
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
from upbring.data.trees.shared_tokens import own
from upbring.data.trees.store import Store, cache_folder
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.durable import JSON
from upbring.model.load import weights_sha256
from upbring.model.packing import packed
from upbring.model.roles import BASE
from upbring.model.score import score
from upbring.stages.context import Cast
from upbring.stages.dataset import Joined, Selected
from upbring.stages.provenance import identity, micro_tokens
from upbring.train.lanes import side_by_side

FORMAT = 1
_TREES_AT_ONCE = 512

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Referred:
    """Trees with a note `reference` about each token: its log-probability under the reference."""

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
            note = {"reference": self.logprobs[start:stop]}
            branches.append(replace(branch, notes={**branch.notes, **note}))
            start = stop
        return replace(item, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class Unshared:
    """Trees with a note `counts`: 0 for control tokens that all branches begin or end with."""

    trees: Trees
    controls: frozenset[int]

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        item = self.trees[index]
        pairs = zip(item.branches, own(item, self.controls), strict=True)
        branches = (replace(b, notes={**b.notes, "counts": counts}) for b, counts in pairs)
        return replace(item, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class Reference:
    """Whoever is asked for the reference's log-probabilities."""

    logprobs: Callable[[Batch], torch.Tensor]  # [R] of a batch
    pack: Callable[[Trees], list[Batch]]
    key: Sequence[JSON]  # what decides about the numbers besides the trees
    folder: Path
    notice: Callable[[str], None]
    poll: Callable[[], None] = lambda: None

    def of(self, trees: Trees) -> Trees:
        """Return the trees with the note `reference`; a whole file's are computed and kept."""
        if isinstance(trees, Selected):
            return Selected(self.of(trees.store), trees.indices)
        if isinstance(trees, Joined):
            return Joined([self.of(part) for part in trees.parts])
        return self.only(trees)

    def only(self, trees: Trees) -> Trees:
        """Return the same, computing nothing of other trees in their files."""
        if not len(trees):
            return trees
        folder = self.folder / f"reference-{self._name(trees)}"
        if (found := _opened(folder, trees)) is not None:
            return found
        self.notice(f"reference: computing the log-probabilities of {len(trees)} rows, once")
        with durable.folder(folder) as making:
            self._write(making, trees)
        made = _opened(folder, trees)
        assert made is not None, f"{folder}: what was just written cannot be read"
        return made

    def _name(self, trees: Trees) -> str:
        text = json.dumps([FORMAT, *self.key, _fingerprint(trees)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _write(self, folder: Path, trees: Trees) -> None:
        ends, total = [], 0
        with (folder / "logprobs.f32").open("wb") as file:
            for start in range(0, len(trees), _TREES_AT_ONCE):
                window = [trees[i] for i in range(start, min(start + _TREES_AT_ONCE, len(trees)))]
                for values in self._computed(window):
                    file.write(values.astype("<f4").tobytes())
                    total += len(values)
                    ends.append(total)
        (folder / "ends.i64").write_bytes(np.asarray(ends, "<i8").tobytes())

    def _computed(self, trees: Sequence[Tree]) -> Iterator[Array]:
        """Yield the log-probabilities of each tree's branch tokens."""
        numbered = [replace(t, key=str(i), facts={}) for i, t in enumerate(trees)]
        found: dict[int, Array] = {}
        batches = self.pack(numbered)
        lanes = batches[0].lanes if batches else 1
        for batch, every in zip(batches, side_by_side(self._said, batches, lanes), strict=True):
            self.poll()
            start = 0
            for number in map(int, batch.keys):
                weight = np.concatenate([b.weight for b in trees[number].branches])
                values = np.full(len(weight), np.nan, np.float32)
                (places,) = np.nonzero(weight)
                values[places] = every[start : start + len(places)]
                found[number] = values
                start += len(places)
        for number in range(len(trees)):
            yield found[number]

    @torch.no_grad()
    def _said(self, batch: Batch) -> Array:
        return self.logprobs(batch).float().cpu().numpy()


def reference_of(cast: Cast) -> Reference:
    """Return the reference of a stage: its base, before any step."""
    loaded, how = cast.loaded, identity(cast)["machine"]
    assert isinstance(how, dict), "the machine is told as a mapping"

    def logprobs(batch: Batch) -> torch.Tensor:
        with loaded.roles.speaking(BASE):
            return score(loaded.model, batch).logprobs

    budget = micro_tokens(cast)
    return Reference(
        logprobs=logprobs,
        pack=lambda trees: packed(loaded.model, trees, budget, lanes=loaded.model.lanes),
        key=(
            *(__version__, torch.__version__),
            *(weights_sha256(loaded.folder), loaded.base_sha256, cast.settings.tune),
            {name: value for name, value in how.items() if name != "processes"},
        ),
        folder=cache_folder(notice=cast.say),
        notice=cast.say,
        poll=cast.poll,
    )


def _opened(folder: Path, trees: Trees) -> Referred | None:
    """Return trees with what a folder holds of them; nothing if that is damaged or not there."""
    if not folder.is_dir():
        return None
    try:
        durable.verify(folder)
        logprobs = np.memmap(folder / "logprobs.f32", "<f4", mode="r")
        ends = np.memmap(folder / "ends.i64", "<i8", mode="r")
    except (durable.Damaged, OSError, ValueError):
        return None
    if len(ends) != len(trees) or len(logprobs) != ends[-1]:
        return None
    return Referred(trees, np.asarray(logprobs), np.asarray(ends))


def _fingerprint(trees: Trees) -> str:
    """Return a hash of the trees' tokens and weights; a file's stands in its manifest."""
    if isinstance(trees, Store):
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

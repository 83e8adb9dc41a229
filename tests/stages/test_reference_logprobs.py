"""Reference log-probabilities: equal to plain transformers, cached, reused and repaired."""

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families import VOCABULARY, family
from tests.plain import plain_logprobs, random_trees
from tests.tolerances import LOGPROBS
from upbring.data.trees.store import build_store
from upbring.data.trees.tree import Tree, Trees
from upbring.durable import Disk
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.stages.dataset import ConcatTrees, TreeSubset
from upbring.stages.reference_logprobs import ReferenceLogprobs, TreesWithTokenMask

SHAPES = [(3, (5, 2)), (1, (4, 3, 6)), (2, (1, 7, 2, 5)), (5, (2, 2))]


def made(
    folder: Path, *, key: Sequence[str] = ("a",), messages: list[str] | None = None
) -> ReferenceLogprobs:
    model = Model(family("llama", attention=ATTENTION_NAME))
    return ReferenceLogprobs(
        logprobs=lambda batch: score_tokens(model, batch).logprobs,
        pack=lambda trees: make_micro_batches(model, trees, 20),
        key=key,
        folder=folder,
        log=(messages if messages is not None else []).append,
    )


def partly_weighted() -> list[Tree]:
    """Return trees whose second branches have weight 0 at their first token."""
    found = []
    for i, item in enumerate(random_trees(VOCABULARY, SHAPES)):
        weight = item.branches[1].weight.copy()
        weight[0] = 0 if len(weight) > 1 else 1
        branches = (item.branches[0], replace(item.branches[1], weight=weight), *item.branches[2:])
        facts = {"rank": np.arange(1.0, 1.0 + len(branches))}
        found.append(replace(item, key=str(i), branches=branches, per_branch=facts))
    return found


def reference_logprobs(trees: Trees) -> list[np.ndarray]:
    return [
        branch.per_token["reference"] for i in range(len(trees)) for branch in trees[i].branches
    ]


def test_they_are_those_of_plain_transformers_where_the_weight_is_not_0(tmp_path: Path) -> None:
    trees = partly_weighted()
    with torch.no_grad():
        every = plain_logprobs(family("llama"), trees).numpy()
    found = np.concatenate(reference_logprobs(made(tmp_path).annotate_files(trees)))
    weight = np.concatenate([branch.weight for item in trees for branch in item.branches])
    assert np.isnan(found).tolist() == (weight == 0).tolist()
    assert np.nanmax(np.abs(found - every)) < LOGPROBS


def test_those_of_a_file_are_computed_once_for_any_part_of_it(tmp_path: Path) -> None:
    messages: list[str] = []
    store = build_store(tmp_path / "store", partly_weighted())
    reference = made(tmp_path, messages=messages)
    whole = reference_logprobs(reference.annotate_files(ConcatTrees([store])))
    part = reference.annotate_files(TreeSubset(ConcatTrees([store]), np.array([2, 0])))
    again = made(tmp_path, messages=messages).annotate_files(store)
    assert messages == ["reference: computing the log-probabilities of 4 rows, once"]
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(whole, reference_logprobs(again), strict=True)
    )
    assert part[0].key == "2"
    assert np.array_equal(part[0].branches[3].per_token["reference"], whole[8])  # of 2 + 3 + 4 + 2
    assert part[1].per_branch["rank"].tolist() == [1, 2]


def test_annotate_computes_only_the_given_trees(tmp_path: Path) -> None:
    messages: list[str] = []
    store = build_store(tmp_path / "store", partly_weighted())
    made(tmp_path, messages=messages).annotate(TreeSubset(store, np.array([1])))
    assert messages == ["reference: computing the log-probabilities of 1 row, once"]
    assert len(made(tmp_path).annotate(())) == 0


def test_some_trees_of_all_are_annotated(tmp_path: Path) -> None:
    messages: list[str] = []
    trees = partly_weighted()
    whole = made(tmp_path).annotate_files(trees)
    some = made(tmp_path, messages=messages).annotate_some(trees, np.array([0, 2]))
    assert messages == ["reference: computing the log-probabilities of 2 rows, once"]
    assert [some[i].key for i in range(len(some))] == [item.key for item in trees]
    for i in range(len(trees)):
        for one, other in zip(some[i].branches, whole[i].branches, strict=True):
            assert ("reference" in one.per_token) == (i in {0, 2})
            if i in {0, 2}:
                values, expected = one.per_token["reference"], other.per_token["reference"]
                assert np.allclose(values, expected, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("what", ["key", "tokens", "weight"])
def test_other_weights_or_other_rows_are_computed_again(tmp_path: Path, what: str) -> None:
    messages: list[str] = []
    trees = partly_weighted()
    made(tmp_path, messages=messages).annotate_files(trees)
    first = trees[0].branches[0]
    if what == "tokens":
        first = replace(first, tokens=first.tokens[::-1].copy())
    if what == "weight":
        first = replace(first, weight=np.append(first.weight[:-1], 0).astype(np.float32))
    trees[0] = replace(trees[0], branches=(first, *trees[0].branches[1:]))
    made(tmp_path, messages=messages, key=("b",) if what == "key" else ("a",)).annotate_files(trees)
    assert len(messages) == 2


def test_a_damaged_file_is_computed_again_and_is_the_same(tmp_path: Path) -> None:
    messages: list[str] = []
    trees = partly_weighted()
    before = np.concatenate(
        reference_logprobs(made(tmp_path, messages=messages).annotate_files(trees))
    )
    (folder,) = tmp_path.glob("reference-*")
    data = bytearray((folder / "logprobs.f32").read_bytes())
    data[5] ^= 1
    (folder / "logprobs.f32").write_bytes(bytes(data))
    after = np.concatenate(
        reference_logprobs(made(tmp_path, messages=messages).annotate_files(trees))
    )
    assert [text for text in messages if "reference: computing" in text] == 2 * messages[:1]
    assert "logprobs.f32: differs from what was saved" in messages[1]
    assert np.array_equal(before, after, equal_nan=True)


def test_a_full_cache_disk_is_reported_and_the_numbers_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = partly_weighted()
    cache = tmp_path / "full"
    for folder in (tmp_path / "a", cache):
        folder.mkdir()
    expected = np.concatenate(reference_logprobs(made(tmp_path / "a").annotate_files(trees)))

    def full(self: Disk, operation: str, path: Path) -> None:
        del self
        if operation == "write" and cache in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Disk, "before", full)
    messages: list[str] = []
    found = made(cache, messages=messages).annotate_files(trees)
    assert np.array_equal(np.concatenate(reference_logprobs(found)), expected, equal_nan=True)
    (told,) = [text for text in messages if "the cache folder is not writable" in text]
    assert "No space left on device" in told
    assert not list(cache.glob("*"))  # nothing half-written


def test_shared_special_tokens_are_marked(tmp_path: Path) -> None:
    trees = made(tmp_path).annotate_files(
        [
            replace(
                item,
                branches=tuple(
                    replace(b, tokens=np.append(b.tokens[:-1], 2).astype(np.int32))
                    for b in item.branches
                ),
            )
            for item in partly_weighted()
        ]
    )
    marked = TreesWithTokenMask(trees, frozenset({2}))
    assert len(marked) == 4
    for branch in marked[2].branches:
        assert branch.per_token["counts"].tolist() == [1.0] * (len(branch.tokens) - 1) + [0.0]
        assert "reference" in branch.per_token

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import trials
from upbring.data.trees import store
from upbring.data.trees.store import build_store, cache_folder, open_store
from upbring.data.trees.tree import Branch, Tree, make_tree
from upbring.errors import InputError

tokens = st.lists(st.integers(0, 200_000), min_size=1, max_size=5)
weights = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5)
branches = st.tuples(tokens, weights).map(
    lambda b: Branch(np.asarray(b[0], np.int32), np.asarray(b[1][: len(b[0])], np.float32))
)
trees = st.builds(
    lambda prompt, some, key: Tree(np.asarray(prompt, np.int32), tuple(some), key),
    tokens,
    st.lists(branches, max_size=4),
    st.text(max_size=5),
)


def same(one: Tree, two: Tree) -> bool:
    pairs = zip(one.branches, two.branches, strict=True)
    return (
        one.key == two.key
        and np.array_equal(one.prompt, two.prompt)
        and all(
            np.array_equal(a.tokens, b.tokens) and np.array_equal(a.weight, b.weight)
            for a, b in pairs
        )
    )


@settings(max_examples=trials(25, 500), derandomize=True, database=None)
@given(st.lists(trees, max_size=6))
def test_a_store_contains_the_trees_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, some: list[Tree]
) -> None:
    folder = tmp_path_factory.mktemp("store") / "it"
    for result in (build_store(folder, iter(some)), open_store(folder)):
        assert result is not None
        assert len(result) == len(some)
        assert all(map(same, result, some))
        assert result.lengths.tolist() == [item.num_tokens for item in some]


def test_trees_are_views_of_the_mapped_files(tmp_path: Path) -> None:
    result = build_store(
        tmp_path / "it", [make_tree([1, 2], [3], [4, 5], key="a"), make_tree([6], [7], key="b")]
    )
    first = result[0]
    assert np.shares_memory(first.prompt, result.arrays["tokens"])
    assert np.shares_memory(first.branches[1].weight, result.arrays["weights"])
    assert first.prompt.dtype == np.int32
    assert first.branches[0].weight.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        first.prompt[0] = 9
    assert [item.key for item in result[::-1]] == ["b", "a"]
    assert result[-1].key == "b"
    with pytest.raises(IndexError):
        result[2]


def test_per_branch_values_are_stored(tmp_path: Path) -> None:
    rows = [
        replace(make_tree([1], [2], [3]), per_branch={"rank": np.array([1.0, 2.0])}),
        replace(make_tree([1], [2], [3], [4]), per_branch={"rank": np.array([3.0, 1.0, 1.0])}),
    ]
    built = build_store(tmp_path / "it", rows)
    opened = open_store(tmp_path / "it")
    assert opened is not None
    for result in (built, opened):
        assert result.per_branch["rank"].tolist() == [1, 2, 3, 1, 1]
        assert result[1].per_branch["rank"].tolist() == [3, 1, 1]


def test_a_damaged_or_foreign_store_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    assert open_store(folder) is None
    build_store(folder, [make_tree([1], [2])])
    path = folder / "tokens.i32"
    path.write_bytes(b"\x07" + path.read_bytes()[1:])
    assert open_store(folder) is None
    again = build_store(folder, [make_tree([5], [6])])
    assert again[0].prompt.tolist() == [5]


def test_another_format_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_store(tmp_path / "it", [make_tree([1], [2])])
    assert json.loads((tmp_path / "it" / "store.json").read_text())["format"] == store.FORMAT
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    assert open_store(tmp_path / "it") is None


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[Tree]:
        yield make_tree([1], [2])
        raise InputError("row 2: bad")

    with pytest.raises(InputError, match="row 2: bad"):
        build_store(tmp_path / "it", failing())
    assert list(tmp_path.iterdir()) == []


def test_building_keeps_only_some_trees_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    zeros = np.zeros(5000, np.int32)
    result = build_store(tmp_path / "it", (make_tree(zeros[:1], zeros) for _ in range(1000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.arrays["tokens"].nbytes + result.arrays["weights"].nbytes == 40_004_000
    assert peak < 15_000_000  # 4 MB are buffered, 4 MB more while they are written


def test_the_cache_folder_is_the_users_or_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    monkeypatch.delenv("UPBRING_CACHE", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(log=notices.append) == tmp_path / "xdg" / "upbring"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for platform, below in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr("sys.platform", platform)
        assert cache_folder(log=notices.append) == tmp_path / "home" / below / "upbring"
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "own"))
    assert cache_folder(log=notices.append) == tmp_path / "own"
    assert notices == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder(log=notices.append).parent == tmp_path
    assert "is not writable" in notices[0]
    assert "set UPBRING_CACHE" in notices[0]

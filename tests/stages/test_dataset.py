import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from upbring.data.trees.tree import Branch, Tree, Trees, make_tree
from upbring.durable import Disk
from upbring.errors import InputError, Interrupted
from upbring.runs.results import EvalResult
from upbring.runs.source_results import VOTES, write_source_results
from upbring.settings.data import DataSettings
from upbring.stages.dataset import (
    ConcatTrees,
    Dataset,
    Encoder,
    Log,
    encode_file,
    make_dataset,
    split_held_out,
    truncate_trees,
)

T = TypeVar("T")
TREES = [make_tree([i, i], [i + 1, i + 2], key=f"k{i}") for i in range(20)]


class Counting:
    """Encodes a line `p r r r` as a tree, and counts the rows that it has read."""

    def __init__(self) -> None:
        self.num_rows = 0

    def encoder(self, *identity: str, is_kept: bool = True) -> Encoder:
        return Encoder(self._trees, identity, is_kept)

    def _trees(self, path: Path, notice: object) -> tuple[Iterator[Tree], str]:
        assert callable(notice)
        notice(f"{path.name}: format numbers")

        def rows() -> Iterator[Tree]:
            for number, line in enumerate(path.read_text().splitlines()):
                self.num_rows += 1
                p, *rs = [int(word) for word in line.split()]
                yield make_tree([p], rs, key=f"{path.name}:{number}")
            notice(f"{path.name}: all read")

        return truncate_trees(rows(), 4, where=path.name, log=notice), "numbers"


def numbers(path: Path, *firsts: int) -> Path:
    path.write_text("".join(f"{p} 1 2\n" for p in firsts))
    return path


def keys(trees: Trees) -> list[str]:
    return [trees[i].key for i in range(len(trees))]


def test_a_file_is_encoded_once_and_its_messages_are_logged_again(tmp_path: Path) -> None:
    path, counting = numbers(tmp_path / "a.txt", 1, 2, 3), Counting()
    path.write_text(path.read_text() + "4 1 2 3 4 5\n")
    first: list[str] = []
    again: list[str] = []
    one, facts = encode_file(path, counting.encoder("x"), log=first.append)
    two, same = encode_file(path, counting.encoder("x"), log=again.append)
    assert counting.num_rows == 4
    assert (
        first
        == again
        == [
            "a.txt: format numbers",
            "a.txt: all read",
            "a.txt: 1 row is longer than max_length 4 and truncated",
        ]
    )
    assert facts == same
    assert (facts.rows, facts.format, facts.purpose) == (4, "numbers", "train")
    assert keys(one) == keys(two)
    assert all(np.array_equal(one[i].prompt, two[i].prompt) for i in range(4))


def test_the_figures_beside_a_file_are_taken_over(tmp_path: Path) -> None:
    path, counting = numbers(tmp_path / "a.txt", 1, 2, 3), Counting()
    figures = (EvalResult(VOTES, "annotators", "votes", 3.0),)
    write_source_results(path, figures)
    _, file = encode_file(path, counting.encoder("x"), log=lambda _: None)
    assert file.results == figures
    numbers(path, 1, 2)
    messages: list[str] = []
    _, file = encode_file(path, counting.encoder("x"), log=messages.append)
    assert file.results == ()
    assert any("its figures are left out" in each for each in messages)


@pytest.mark.parametrize("change", ["content", "identity", "skipping"])
def test_it_is_encoded_again_when_anything_in_the_cache_key_changed(
    tmp_path: Path, change: str
) -> None:
    path, counting = numbers(tmp_path / "a.txt", 1, 2), Counting()
    encode_file(path, counting.encoder("x"), log=lambda _: None)
    if change == "content":
        numbers(path, 1, 3)
    identity = "y" if change == "identity" else "x"
    encoder = counting.encoder(identity, is_kept=change != "skipping")
    encode_file(path, encoder, log=lambda _: None)
    assert counting.num_rows == 4


def test_with_skip_bad_the_cache_is_not_read_and_not_used_by_later_runs(
    tmp_path: Path,
) -> None:
    path, counting = numbers(tmp_path / "a.txt", 1, 2), Counting()
    for _ in range(2):
        encode_file(path, counting.encoder("x", is_kept=False), log=lambda _: None)
    assert counting.num_rows == 4
    encode_file(path, counting.encoder("x"), log=lambda _: None)
    assert counting.num_rows == 6  # trees without the skipped rows are not reused here


def test_encoding_can_be_stopped_and_leaves_no_cache_entry(tmp_path: Path) -> None:
    path, counting = numbers(tmp_path / "a.txt", *range(9)), Counting()

    def poll() -> None:
        if counting.num_rows == 3:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        encode_file(path, counting.encoder("x"), log=lambda _: None, poll=poll)
    encode_file(path, counting.encoder("x"), log=lambda _: None)
    assert counting.num_rows == 3 + 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_encode_the_same_file_take_turns(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.txt", *range(2000))
    processes = []
    for _ in range(4):
        processes.append(os.fork())
        if not processes[-1]:
            counting = Counting()
            trees, _ = encode_file(path, counting.encoder("x"), log=lambda _: None)
            os._exit(counting.num_rows // 2000 + 10 * (len(trees) != 2000))
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    assert sorted(codes) == [0, 0, 0, 1]  # one process has read the rows, and all have the trees


def test_leftovers_of_dead_processes_in_the_cache_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path))
    leftover = tmp_path / ".tmp-abc-4194305-0123abcd"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    encode_file(numbers(tmp_path / "a.txt", 1), Counting().encoder("x"), log=lambda _: None)
    assert not leftover.exists()


def test_a_full_cache_disk_is_reported_and_a_temporary_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("UPBRING_CACHE", str(cache))

    def full(self: Disk, operation: str, path: Path) -> None:
        del self
        if operation == "write" and cache in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Disk, "before", full)
    messages: list[str] = []
    path = numbers(tmp_path / "a.txt", 1, 2)
    store, file = encode_file(path, Counting().encoder("x"), log=messages.append)
    assert (keys(store), file.rows) == (["a.txt:0", "a.txt:1"], 2)
    assert cache not in store.folder.parents
    (told,) = [text for text in messages if "the cache folder is not writable" in text]
    assert "No space left on device" in told
    assert "set UPBRING_CACHE to a writable folder" in told
    shutil.rmtree(store.folder.parent)


def test_held_out_rows_are_sampled_with_the_seed_and_never_trained_on() -> None:
    main, held = split_held_out(TREES, 0.25, seed=0)
    assert len(held) == 5
    assert sorted(keys(main) + keys(held)) == sorted(keys(TREES))
    assert keys(split_held_out(TREES, 0.25, seed=0)[1]) == keys(held)
    assert keys(split_held_out(TREES, 0.25, seed=1)[1]) != keys(held)


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(20, 0.0, 0), (1, 0.9, 0), (2, 0.99, 1), (20, 0.01, 0)]
)
def test_something_is_always_left_to_train_on(count: int, share: float, expected: int) -> None:
    main, held = split_held_out(TREES[:count], share, seed=0)
    assert len(held) == expected
    assert len(main) == count - expected


def test_no_more_than_200_rows_are_held_out() -> None:
    many = [make_tree([1], [2], key=f"k{i}") for i in range(1000)]
    assert len(split_held_out(many, 0.9, seed=0)[1]) == 200


def test_the_pieces_of_a_document_are_held_out_together() -> None:
    pieces = [make_tree([1], [2], key=f"document {i // 5}") for i in range(100)]
    learned, held = split_held_out(pieces, 0.3, seed=0)
    assert (len(learned), len(held)) == (70, 30)
    assert not set(keys(learned)) & set(keys(held))


def test_joined_trees_are_those_of_their_parts_in_order() -> None:
    joined = ConcatTrees([TREES[:3], [], TREES[3:5]])
    assert keys(joined) == keys(TREES[:5])
    with pytest.raises(IndexError):
        joined[5]


def test_rows_that_are_too_long_are_truncated_or_dropped_and_counted() -> None:
    messages: list[str] = []
    late = Branch(np.array([2, 3, 4, 5], np.int32), np.array([0, 0, 0, 1], np.float32))
    long = [
        make_tree([1, 2], [3, 4], key="fits"),  # 4 tokens
        make_tree([1, 2], [3, 4, 5], key="cut"),  # 5: one token is removed
        make_tree([1, 2, 3, 4], [5], key="no room"),  # nothing of the response is left
        Tree(np.array([1], np.int32), (late,), "no weight"),  # the weighted token is cut off
    ]
    found = list(truncate_trees(long, 4, where="a.jsonl", log=messages.append))
    assert [(t.key, t.branches[0].tokens.tolist()) for t in found] == [
        ("fits", [3, 4]),
        ("cut", [3, 4]),
    ]
    assert found[1].branches[0].weight.tolist() == [1, 1]
    assert messages == [
        "a.jsonl: 1 row is longer than max_length 4 and truncated",
        "a.jsonl: 2 rows are dropped: nothing to train on is left within max_length 4",
    ]


def dataset(messages: list[str] | None = None, **settings: Any) -> Dataset:
    notice = (messages if messages is not None else []).append
    return make_dataset(DataSettings(**settings), Counting().encoder("x"), seed=0, log=notice)


def test_a_dataset_has_data_mixture_and_held_out_files_and_logs_their_sizes(tmp_path: Path) -> None:
    messages: list[str] = []
    found = dataset(
        messages,
        data=(numbers(tmp_path / "a.txt", 1, 2), numbers(tmp_path / "b.txt", 3)),
        mix=(f"{numbers(tmp_path / 'general=old.txt', 4, 5)}=0.25",),
        held_out=(numbers(tmp_path / "h.txt", 6),),
    )
    assert keys(found.main) == ["a.txt:0", "a.txt:1", "b.txt:0"]
    assert [(keys(s.trees), s.share) for s in found.mixed] == [
        (["general=old.txt:0", "general=old.txt:1"], 0.25)
    ]
    assert keys(found.held_out) == ["h.txt:0"]
    assert [(Path(f.file).name, f.rows, f.purpose) for f in found.files] == [
        ("a.txt", 2, "train"),
        ("b.txt", 1, "train"),
        ("general=old.txt", 2, "train"),
        ("h.txt", 1, "held_out"),
    ]
    assert messages[-2] == "3 examples to train on, 1 held out"
    assert messages[-1].startswith("held out: 1 example, too few to compare steps by, so ")


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (("g.txt",), "mix: 'g.txt' is not FILE=WEIGHT with a weight between 0 and 1; write it "),
        (("g.txt=1",), "mix: 'g.txt=1' is not FILE=WEIGHT"),
        (("g.txt=nan",), "mix: 'g.txt=nan' is not FILE=WEIGHT"),
        (("=0.5",), "mix: '=0.5' is not FILE=WEIGHT"),
        (
            ("g.txt=0.6", "h.txt=0.5"),
            "mix: the weights sum to 1.1, which leaves nothing for the data itself; use ",
        ),
    ],
)
def test_a_wrong_mixture_is_refused_before_anything_is_read(
    mix: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        dataset(data=(Path("missing"),), mix=mix)
    assert str(caught.value).startswith(message)


def test_a_folder_is_trained_on_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    numbers(tmp_path / "rows" / "b.txt", 1, 2)
    numbers(tmp_path / "rows" / "a.txt", 3)
    made = dataset(data=(tmp_path / "rows",), held_out_share=0)
    assert keys(made.main) == ["a.txt:0", "b.txt:0", "b.txt:1"]
    assert [Path(file.file).name for file in made.files] == ["a.txt", "b.txt"]


def test_without_rows_to_train_on_it_raises(tmp_path: Path) -> None:
    long = tmp_path / "long.txt"
    long.write_text("1 2 3 4 5 6\n")
    short = numbers(tmp_path / "a.txt", 1)
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("")
    with pytest.raises(InputError, match=r"nothing\.txt: no row to train on"):
        dataset(data=(nothing,))
    with pytest.raises(InputError, match=r"mix: .*nothing\.txt: no row is left to train on"):
        dataset(data=(short,), mix=(f"{nothing}=0.5",))


def test_dropped_rows_are_noted_with_the_file_also_when_the_cache_is_used(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.txt", 1)

    def encode(_: Path, log: Log) -> tuple[Iterator[Tree], str]:
        log(f"{path}: format lines")

        def rows() -> Iterator[Tree]:
            yield make_tree([1], [2], key="1")
            log(f"{path}: 3 rows are dropped")

        return rows(), "lines"

    for _ in range(2):
        _, file = encode_file(path, Encoder(encode, ("x",)), log=lambda _: None)
        assert file.notes == ("3 rows are dropped",)


def test_tokenization_shows_how_many_rows_of_the_file_are_done(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" * 3)
    keys = ["1", "2", "2", "3"]  # the second row gives two trees
    seen: list[tuple[int | None, str, int]] = []

    def track(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        for count, item in enumerate(items, start=1):
            yield item
            seen.append((total, label, count))

    def encode(_: Path, log: Log) -> tuple[list[Tree], str]:
        del log
        return [make_tree([1], [2], key=key) for key in keys], "lines"

    trees, _ = encode_file(path, Encoder(encode, ("x",)), log=lambda _: None, track=track)
    assert [tree.key for tree in trees] == keys
    assert seen == [(3, f"{path}: tokenizing rows", count) for count in (1, 2, 3)]

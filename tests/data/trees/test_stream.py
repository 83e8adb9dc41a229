from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbring.data.trees.stream import MixtureSource, Stream, make_replay_stream
from upbring.data.trees.tree import Tree, make_tree


def trees(name: str, count: int) -> list[Tree]:
    return [make_tree([1], [2] * (1 + i % 5), key=f"{name}{i}") for i in range(count)]


def keys(stream: Stream, start: int = 0, stop: int | None = None) -> list[str]:
    steps = stream.steps(start, stream.num_steps if stop is None else stop)
    return [item.key for step in steps for item in step]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_contains_each_tree_once(count: int, step_examples: int, seed: int) -> None:
    stream = Stream(trees("a", count), (), seed, 1.0, step_examples)
    assert sorted(keys(stream)) == sorted(item.key for item in stream.main_trees)


def test_epochs_differ_in_order_and_seeds_too() -> None:
    stream = Stream(trees("a", 20), (), 0, 2.0, 20)
    first, second = keys(stream)[:20], keys(stream)[20:]
    assert Counter(first) == Counter(second)
    assert first != second
    assert first != keys(Stream(trees("a", 20), (), 1, 1.0, 20))


@pytest.mark.parametrize("batch_tokens", [None, 17])
def test_resuming_is_starting_at_another_step(batch_tokens: int | None) -> None:
    def fresh() -> Stream:
        mixed = (MixtureSource(trees("b", 7), 0.2), MixtureSource(trees("c", 3), 0.3))
        return Stream(trees("a", 30), mixed, 5, 3.0, 8, batch_tokens)

    whole = [[item.key for item in step] for step in fresh().steps(0, 40)]
    for start in range(40):
        assert [[i.key for i in s] for s in fresh().steps(start, start + 1)] == [whole[start]]


@pytest.mark.parametrize("batch_tokens", [None, 17])
@pytest.mark.parametrize("num_steps", [0, 2, 40])
def test_the_used_trees_are_those_of_the_steps(num_steps: int, batch_tokens: int | None) -> None:
    mixed = (MixtureSource(trees("b", 7), 0.2),)
    stream = Stream(trees("a", 30), mixed, 5, 1.0, 4, batch_tokens)
    main, other = stream.used_trees(num_steps)
    used = [f"a{i}" for i in main] + [f"b{i}" for i in other]
    assert used == sorted(set(keys(stream, 0, num_steps)), key=lambda key: (key[0], int(key[1:])))


@given(st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_mixed_sources_have_their_shares(one: float, other: float) -> None:
    stream = Stream(
        trees("a", 500),
        (MixtureSource(trees("b", 9), one), MixtureSource(trees("c", 9), other)),
        0,
        1.0,
        8,
    )
    counts = Counter(key[0] for key in keys(stream))
    total = sum(counts.values())
    assert abs(counts["b"] - one * total) <= 2
    assert abs(counts["c"] - other * total) <= 2
    assert abs(counts["a"] - 500) <= 2


def test_a_step_of_tokens_holds_as_many_examples_as_fit() -> None:
    stream = Stream(trees("a", 25), (), 0, 1.0, 8, 12)
    steps = list(stream.steps(0, stream.num_steps))
    assert all(sum(item.num_tokens for item in step) <= 12 for step in steps)
    assert sum(len(step) for step in steps) == 25


def test_steps_after_the_last_epoch_start_another_epoch() -> None:
    stream = Stream(trees("a", 5), (), 0, 1.0, 2)
    assert stream.num_steps == 3
    assert Counter(keys(stream, 0, 6)) == Counter(item.key for item in stream.main_trees * 2)


def test_replayed_rows_are_the_given_share_of_a_step() -> None:
    mixed = (MixtureSource(trees("b", 7), 0.1), MixtureSource(trees("c", 3), 0.1))
    stream = make_replay_stream(mixed, batch_size=8, seed=0)
    assert stream is not None
    names = [key[0] for key in keys(stream, 0, 10)]
    assert len(names) == 10 * 2  # 2 of 8 + 2 rows: a share of 0.2
    assert names.count("b") == names.count("c")
    assert make_replay_stream((), batch_size=8, seed=0) is None

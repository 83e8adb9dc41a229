"""Preferences to trees: what a file is read as, and which responses are good or bad."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.preferences import prepared
from upbring.data.chat.chat import Chat, make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Label
from upbring.data.trees.tree import Tree, make_tree
from upbring.errors import InputError
from upbring.settings.methods.kto import KtoSettings
from upbring.stages.preference import KtoTrees, _report_probabilities, first_readable_encoder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("home"))


def chat_of(home: Path) -> Chat:
    return make_chat(load_tokenizer(home / "m"))


@pytest.mark.parametrize(
    ("name", "kinds", "fact", "K"),
    [
        ("p", (Comparison, Label), "rank", 2),
        ("l", (Comparison, Label), "good", 1),
        ("d", (Comparison, Demonstration), None, 1),
        ("p", (Comparison, Demonstration), "rank", 2),
    ],
)
def test_a_file_is_read_as_the_first_kind_that_fits(
    home: Path, name: str, kinds: tuple[RecordType, ...], fact: str | None, K: int
) -> None:
    settings = KtoSettings(model="m", data=(home / f"{name}.jsonl",))
    encoder = first_readable_encoder(kinds, chat_of(home), settings)
    found, _ = encoder.encode(home / f"{name}.jsonl", lambda _: None)
    first = next(iter(found))
    assert len(first.branches) == K
    assert (fact in first.per_branch) if fact else not first.per_branch


def test_a_file_that_fits_no_kind_is_refused_as_the_last(home: Path) -> None:
    settings = KtoSettings(model="m", data=(home / "d.jsonl",))
    encoder = first_readable_encoder((Comparison, Label), chat_of(home), settings)
    with pytest.raises(InputError, match="labeled responses"):
        encoder.encode(home / "d.jsonl", lambda _: None)


def ranked(ranks: list[float], *branches: list[int]) -> Tree:
    return replace(make_tree([1, 2], *branches), per_branch={"rank": np.array(ranks)})


def test_the_best_is_good_the_worst_is_bad_and_the_last_is_the_next_rows_answer() -> None:
    trees = [ranked([2, 1, 3], [3], [4, 5], [6]), ranked([1, 2], [7, 8, 9], [10])]
    found = KtoTrees(trees, 4)
    assert len(found) == 2
    assert [b.tokens.tolist() for b in found[0].branches] == [[4, 5], [6], [7, 8]]  # cut at 4
    assert found[0].per_branch["good"][:2].tolist() == [1, 0]
    assert np.isnan(found[0].per_branch["good"][2])
    assert [b.tokens.tolist() for b in found[1].branches] == [[7, 8, 9], [10], [3]]
    shown = make_tree([1], [2])
    assert KtoTrees([shown], 4)[0] is shown  # a demonstration has no label


def test_kto_keeps_the_weight_of_a_row_and_reports_probabilities_that_it_cannot_use() -> None:
    facts = {"probability": np.full(2, 0.8), "weight": np.full(2, 3.0)}
    first, second = ranked([2, 1], [3], [4, 5]), ranked([1, 2], [7], [8])
    trees = [replace(first, per_branch={**first.per_branch, **facts}), second]
    assert KtoTrees(trees, 9)[0].per_branch["weight"][:2].tolist() == [3, 3]
    messages: list[str] = []
    _report_probabilities(trees, log=messages.append)
    _report_probabilities([second], log=messages.append)
    (message,) = messages
    assert message.startswith("kto cannot use the probability of 1 of 2 comparisons: the")

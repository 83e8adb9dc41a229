"""Steps over a fixed data set, and means over held-out rows."""

import pytest
import torch

from tests.families import VOCABULARY
from tests.plain import random_trees
from upbring.algorithms.supervised import Stateless, held_out_means, iterate_steps
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.stream import Stream
from upbring.train.algorithm import Term, Terms

TREES = random_trees(VOCABULARY, [(3, (2,)), (4, (5,)), (2, (3,)), (5, (1,))])


def test_steps_start_at_start_and_a_single_process_has_all_trees() -> None:
    stream = Stream(TREES, (), 0, 2.0, 2)
    every = list(iterate_steps(stream, 0, 4))
    later = list(iterate_steps(stream, 3, 4))
    assert [tree.key for tree in later[0].trees] == [tree.key for tree in every[3].trees]
    assert all(step.own == step.trees for step in every)


def token_ids(batch: Batch) -> Terms:
    ids = batch.target.float()
    return {
        "id": Term(ids, batch.weight, 2.0),
        "metric": Term(ids * 0 + 7, batch.weight, 0.0),
        "empty": Term(ids[:0], ids[:0]),
    }


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_means_are_over_all_tokens_for_any_split_into_batches(parts: int) -> None:
    polls: list[int] = []
    batches = [make_batch(TREES[i::parts]) for i in range(parts)]
    found = held_out_means(token_ids, batches, lambda: polls.append(1))
    ids = [token for tree in TREES for branch in tree.branches for token in branch.tokens.tolist()]
    mean = sum(ids) / len(ids)
    assert found == {"loss": pytest.approx(2 * mean), "id": pytest.approx(mean), "metric": 7}
    assert len(polls) == parts


def test_without_rows_there_are_no_means() -> None:
    assert held_out_means(token_ids, [], lambda: None) == {}


def test_restoring_a_state_is_an_error() -> None:
    assert Stateless().state() == {}
    with pytest.raises(AssertionError, match="keeps no state, but got"):
        Stateless().restore({"a": torch.zeros(1)})

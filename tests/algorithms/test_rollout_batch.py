"""Rollouts as one batch: selecting, saving, restoring, and gathering from processes."""

from dataclasses import replace

import pytest
import torch

from tests.algorithms.acting import PROMPTS, STOPS, given, made, round_of, settings, text
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rollout_batch import (
    RESPONSE_FIELDS,
    TOKEN_FIELDS,
    RolloutBatch,
    gather_rollouts,
    make_rollout_tree,
    make_rollouts,
    restore_rollouts,
    trees_of,
)
from upbring.settings.methods.ppo import PpoSettings

FIELDS = (*TOKEN_FIELDS, *RESPONSE_FIELDS)


@pytest.fixture(scope="module")
def rollouts() -> RolloutBatch:
    """Return a round of PPO: three prompts with two responses each, all fields but the judge's."""
    ours, _ = made(Ppo, settings(PpoSettings, batch_size=3, num_generations=2))
    next(iter(ours.batches(0)))
    return round_of(ours)


def assert_equal(one: RolloutBatch, other: RolloutBatch) -> None:
    assert torch.equal(one.batch.tokens, other.batch.tokens)
    assert one.keys == other.keys
    for name in FIELDS:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        assert left is None or (left.dtype == right.dtype and torch.equal(left, right)), name


def test_every_tensor_is_declared_as_per_token_or_per_response(rollouts: RolloutBatch) -> None:
    names = {n for n in RolloutBatch.__slots__ if isinstance(getattr(rollouts, n), torch.Tensor)}
    of_some_rewards = {"judge_scores", "response_advantages", "source_rewards", "source_stds"}
    assert names == {*FIELDS} - of_some_rewards
    R, N = len(rollouts.batch.weight), len(rollouts.batch.last_index)
    assert {len(given(getattr(rollouts, name))) for name in names & {*TOKEN_FIELDS}} == {R}
    assert {len(given(getattr(rollouts, name))) for name in names & {*RESPONSE_FIELDS}} == {N}


def test_a_selection_has_the_values_of_its_own_tokens(rollouts: RolloutBatch) -> None:
    marked = replace(
        rollouts,
        values=rollouts.batch.target.float(),  # each token's id
        rewards=torch.tensor([float(b.tokens[0]) for t in rollouts.trees for b in t.branches]),
    )
    chosen = marked.select([2, 0])
    assert chosen.keys == (rollouts.keys[2], rollouts.keys[0])
    assert torch.equal(given(chosen.values), chosen.batch.target.float())
    assert chosen.rewards.tolist() == [
        float(branch.tokens[0]) for tree in chosen.trees for branch in tree.branches
    ]
    assert_equal(rollouts.select([0, 1, 2]), rollouts)
    assert len(rollouts.select([]).rewards) == 0


def test_rollouts_are_restored_bit_for_bit(rollouts: RolloutBatch) -> None:
    prompts = [replace(tree, branches=()) for tree in rollouts.trees]
    assert_equal(restore_rollouts(prompts, rollouts.state()), rollouts)


def test_a_single_process_gets_its_own_rollouts_back(rollouts: RolloutBatch) -> None:
    assert gather_rollouts(PROMPTS[:3], range(3), rollouts) is rollouts


def test_a_rollout_has_the_inputs_of_a_reward_function() -> None:
    tree = make_rollout_tree(PROMPTS[0], [torch.tensor(t).int().numpy() for t in ([5, 60], [6, 7])])
    first, second = make_rollouts([tree], STOPS, text().decode)
    assert (first.text, first.has_ended) == ("5", True)  # 60 is a stop token
    assert (second.text, second.has_ended) == ("6 7", False)
    assert first.prompt_text == " ".join(map(str, PROMPTS[0].prompt))
    assert first.key == PROMPTS[0].key


def test_trees_of_rollouts_are_returned_once_each() -> None:
    tokens = torch.tensor([5]).int().numpy()
    twice = [make_rollout_tree(PROMPTS[0], [tokens, tokens]) for _ in range(2)]  # the same prompt
    found = trees_of(make_rollouts(twice, STOPS, text().decode))
    assert [id(tree) for tree in found] == [id(tree) for tree in twice]

"""Sampling responses, and scoring them in micro-batches."""

import math

import pytest
import torch

from tests import tolerances
from tests.algorithms.acting import PROMPTS, STOPS, made, settings, text
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.rollout_batch import make_rollouts
from upbring.algorithms.sample_round import (
    RoleModel,
    SampledResponses,
    checked_scores,
    sample_responses,
    score_in_micro_batches,
)
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.score import score_tokens
from upbring.settings.methods.grpo import GrpoSettings


def policy() -> RoleModel:
    ours, _ = made(Grpo, settings(GrpoSettings))
    return ours.roles.policy


def sampled(prompts: list[Tree] = PROMPTS, *, count: int = 2) -> SampledResponses:
    """Return `count` responses to each prompt, with random keys from the key of the prompt."""
    keys = [tuple(counter_rng.key(p.key, s) for s in range(count)) for p in prompts]
    return sample_responses(
        policy(), prompts, keys, max_tokens=6, stop_token_ids=STOPS, poll=lambda: None
    )


def test_a_response_depends_on_its_own_prompt_and_key_alone() -> None:
    together = sampled().trees
    alone = [sampled([prompt]).trees[0] for prompt in PROMPTS]
    for one, other in zip(together, alone, strict=True):
        for branch, same in zip(one.branches, other.branches, strict=True):
            assert branch.tokens.tolist() == same.tokens.tolist()


def test_a_sampled_token_has_the_log_probability_that_scoring_gives_it() -> None:
    found, model = sampled(), policy()
    with torch.no_grad(), model.active():
        scored = score_tokens(model.model, make_batch(found.trees)).logprobs
    assert float((scored - found.logprobs).abs().max()) < tolerances.SAMPLED


def test_a_response_is_finished_if_it_ends_with_a_stop_token() -> None:
    found = sampled()
    rollouts = make_rollouts(found.trees, STOPS, text().decode)
    assert [r.has_ended for r in rollouts] == [bool(ended) for ended in found.is_finished]
    for rollout in rollouts:
        assert rollout.has_ended == (rollout.tokens[-1] in STOPS)
        assert len(rollout.tokens) == 6 or rollout.has_ended


@pytest.mark.parametrize("max_tokens", [1, 20, 10_000])
def test_scores_are_in_the_order_of_the_trees(max_tokens: int) -> None:
    model, trees = policy().model, sampled().trees
    found = score_in_micro_batches(model, trees, max_tokens, lambda b: {"id": b.target.float()})
    expected = [token for tree in trees for b in tree.branches for token in b.tokens.tolist()]
    assert found["id"].tolist() == expected


@pytest.mark.parametrize("given", [[1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_a_missing_or_infinite_reward_is_an_error(given: list[float]) -> None:
    rollouts = make_rollouts(sampled(PROMPTS[:1]).trees, STOPS, text().decode)
    with pytest.raises(InputError, match=r"judge: returned .* for 2 responses; return one finite"):
        checked_scores(given, len(rollouts), name="judge")

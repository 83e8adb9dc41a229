"""Scores of held-out responses, and how much they gained since the first evaluation."""

from dataclasses import replace

import pytest
import torch

from upbring.algorithms.judge_gain import evaluation_metrics, evaluation_scores
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree

TREES = (make_tree([1], [2]), make_tree([3], [4]))
ROLLOUTS = RolloutBatch(
    trees=TREES,
    batch=make_batch(TREES),
    sampled_logprobs=torch.zeros(2),
    old_logprobs=torch.zeros(2),
    reference_logprobs=torch.zeros(2),
    is_finished=torch.tensor([1.0, 0.0]),
    rewards=torch.tensor([1.0, 21.0]),
    kl=torch.tensor([2.0, 4.0]),
)


def test_scores_are_the_judges_or_the_rewards_less_the_kl_penalty() -> None:
    assert evaluation_scores(ROLLOUTS, kl_coef=0.5).tolist() == [0, 19]
    judged = replace(ROLLOUTS, judge_scores=torch.tensor([3.0, 4.0]))
    assert evaluation_scores(judged, kl_coef=0.5).tolist() == [3, 4]


def test_the_error_of_the_gain_is_0_if_all_prompts_gain_the_same() -> None:
    scores = evaluation_scores(ROLLOUTS, kl_coef=0.0)
    found = evaluation_metrics(ROLLOUTS, scores, [0.5, 20.5])
    assert found["gain"] == 0.5
    assert found["gain_error"] == 0
    assert found["error"] == pytest.approx(10 / 2**0.5)
    assert "judge" not in found


def test_the_first_evaluation_gains_nothing() -> None:
    found = evaluation_metrics(ROLLOUTS, evaluation_scores(ROLLOUTS, kl_coef=0.0), [])
    assert found["gain"] == found["gain_error"] == 0
    assert (found["reward"], found["kl"], found["ended"]) == (11, 3, 0.5)

"""What held-out responses are worth, and what they gained."""

import pytest
import torch

from upbring.algorithms.judge_gain import evaluation_metrics, evaluation_scores

FACTS = {
    "reward": torch.tensor([1.0, 21.0]),
    "kl": torch.tensor([2.0, 4.0]),
    "ended": torch.tensor([1.0, 0.0]),
}


def test_a_judge_is_asked_before_the_reward_less_its_divergence() -> None:
    assert evaluation_scores(FACTS, kl_coef=0.5).tolist() == [0, 19]
    assert evaluation_scores(
        {**FACTS, "judge": torch.tensor([3.0, 4.0])}, kl_coef=0.5
    ).tolist() == [3, 4]


def test_prompts_that_differ_by_much_and_gain_the_same_gain_it_surely() -> None:
    scores = evaluation_scores(FACTS, kl_coef=0.0)
    found = evaluation_metrics(FACTS, scores, [0.5, 20.5])
    assert found["gain"] == 0.5
    assert found["gain_error"] == 0
    assert found["error"] == pytest.approx(10 / 2**0.5)
    assert "judge" not in found


def test_the_first_time_nothing_is_gained() -> None:
    found = evaluation_metrics(FACTS, evaluation_scores(FACTS, kl_coef=0.0), [])
    assert found["gain"] == found["gain_error"] == 0
    assert (found["reward"], found["kl"], found["ended"]) == (11, 3, 0.5)

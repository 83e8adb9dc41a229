"""Metrics have TRL's names in trackers, whatever the method."""

from upbring.runs.trackers.metric_names import grouped_metrics, trl_metrics


def test_metrics_of_rl_and_of_reward_models_are_renamed() -> None:
    ours = {"reward": 1.0, "reward_deviation": 2.0, "length": 3.0, "seconds": 4.0}
    assert trl_metrics("grpo", ours) == {
        "reward": 1.0,
        "reward_std": 2.0,
        "completions/mean_length": 3.0,
        "step_time": 4.0,
    }
    assert trl_metrics("reward", {"nll": 0.5, "score": 1.0, "accuracy": 0.75}) == {
        "nll": 0.5,
        "loss": 0.5,
        "mean_reward": 1.0,
        "accuracy": 0.75,
    }


def test_the_own_names_of_another_method_stay() -> None:
    assert trl_metrics("sft", {"loss": 1.0, "margin": 2.0}) == {"loss": 1.0, "margin": 2.0}
    assert grouped_metrics("mine", {"mine": 1.0}, "train") == {
        "train/mine": 1.0,
        "train/loss": 1.0,
    }

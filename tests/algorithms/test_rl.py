"""What PPO, GRPO and RLOO share: rounds, their state, early stopping, the moving average."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.algorithms.acting import (
    LUCKY,
    given,
    gradient,
    lucky,
    made,
    odd,
    round_of,
    settings,
    trained,
)
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rollout_batch import Rollout
from upbring.errors import InputError, Interrupted
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting_specs


def make_settings(**given: object) -> Any:
    return settings(
        PpoSettings,
        **{"steps": 8, "update_epochs": 2, "num_mini_batches": 2, "batch_size": 1, **given},
    )


def tokens(ours: Ppo) -> list[list[int]]:
    return [branch.tokens.tolist() for tree in round_of(ours).trees for branch in tree.branches]


def test_each_update_epoch_visits_the_whole_round_in_a_new_order() -> None:
    ours, _ = made(Ppo, make_settings(num_mini_batches=4, batch_size=1))
    seen = [batch.keys for batches in ours.batches(0) for batch in batches]
    assert len(seen) == 8
    first, second = seen[:4], seen[4:]
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_round_is_sampled_after_all_steps_of_the_last_one() -> None:
    ours, _ = made(Ppo, make_settings())
    rounds = [(ours.round_number, tokens(ours)) for _ in ours.batches(0)]
    assert [number for number, _ in rounds] == [0] * 4 + [1] * 4
    assert rounds[0][1] == rounds[3][1] != rounds[4][1]


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_run_resumed_in_the_middle_of_a_round_takes_the_same_steps(stop: int) -> None:
    config = make_settings(
        kl_target=0.01,
        kl_horizon=10.0,
        normalize_rewards="scale",
        learning_rate=0.02,
        ema_decay=0.5,
    )
    whole, _ = made(Ppo, config, judge=lucky, reward=odd)
    expected = trained_alike(whole, 0, 8)
    first, roles = made(Ppo, config, judge=lucky, reward=odd)
    before = trained_alike(first, 0, stop)
    state = {name: value.clone() for name, value in first.state().items()}
    second, others = made(Ppo, config, judge=lucky, reward=odd)
    for role in ("policy", "value", "average"):
        pairs = zip(others.parameters(role).values(), roles.parameters(role).values(), strict=True)
        for target, source in pairs:
            target.data.copy_(source.data)
    second.restore(state)
    assert before + trained_alike(second, stop, 8) == expected


def trained_alike(ours: Ppo, start: int, stop: int) -> list[dict[str, float]]:
    """Take steps of plain gradient descent, which has no state; return their metrics."""
    steps = []
    for step, batches in enumerate(ours.batches(start), start):
        _, metrics = gradient(ours, batches)
        with torch.no_grad():
            for group in ours.trainable:
                for p in group.parameters.values():
                    if p.grad is not None:
                        p.sub_(0.05 * p.grad)
        steps.append(metrics)
        if step + 1 == stop:
            ours.state()  # as for a checkpoint, before the next batches
            break
    return steps


def test_a_new_round_is_sampled_after_a_rollback_into_another_round() -> None:
    ours, _ = made(Ppo, make_settings())
    next(iter(ours.batches(0)))
    next(iter(ours.batches(6)))  # as after a rollback: continues in a later round
    assert ours.round_number == 1


def test_after_a_rollback_to_before_the_first_round_the_next_round_is_measured() -> None:
    ours, _ = made(
        Ppo, make_settings(normalize_rewards="scale"), reward=lambda some: [*map(_spread, some)]
    )
    start = ours.state()
    next(iter(ours.batches(0)))
    ours.restore(start)
    next(iter(ours.batches(6)))
    assert ours.initial_length > 0
    assert ours.reward_scale > 1


def test_the_moving_average_is_updated_once_per_step() -> None:
    ours, roles = made(Ppo, make_settings(ema_decay=0.75, learning_rate=0.05))
    name = next(n for n in roles.parameters("policy") if "lora_B" in n)
    policy = roles.parameters("policy")[name]
    average = roles.parameters("average")[name.replace(".policy.", ".average.")]
    expected = average.detach().clone()
    for step in range(3):
        trained(ours, start=step, stop=step + 1)
        ours.state()
        ours.state()  # the second call changes nothing
        expected = 0.75 * expected + 0.25 * policy.detach()
        assert torch.allclose(average, expected, atol=1e-7)
    assert expected.any()
    assert not average.requires_grad or average.grad is None


def test_the_kl_coefficient_adapts_to_the_kl_target() -> None:
    ours, _ = made(
        Ppo, make_settings(kl_target=100.0, kl_horizon=4.0, num_mini_batches=1, batch_size=2)
    )
    list(ours.batches(0))
    # four rounds of 2 responses, three updates far below the target: β (1 − 0.2 · 2 / 4)
    assert ours.beta == pytest.approx(0.05 * 0.9**3)


def test_an_interrupted_sampling_leaves_the_state_unchanged() -> None:
    ours, _ = made(Ppo, make_settings(kl_target=100.0, kl_horizon=4.0))
    steps = ours.batches(0)
    for _ in range(4):
        next(steps)
    before = ours.state()

    def poll() -> None:
        raise Interrupted("stopped", signal_number=2)

    ours.poll = poll
    with pytest.raises(Interrupted):
        next(steps)
    assert ours.state()["numbers"].tolist() == before["numbers"].tolist()


def test_rewards_are_normalized_by_the_first_round() -> None:
    ours, _ = made(
        Ppo, make_settings(normalize_rewards="scale"), reward=lambda some: [*map(_spread, some)]
    )
    next(iter(ours.batches(0)))
    gain = given(round_of(ours).normalized_rewards)
    assert float(gain.mean()) == pytest.approx(0, abs=1e-5)
    assert float(gain.std(correction=0)) == pytest.approx(1, rel=1e-4)
    shift = ours.reward_shift
    next(iter(ours.batches(4)))
    assert ours.reward_shift == shift


def test_equal_rewards_in_the_first_round_give_scale_1() -> None:
    """As with a rule that no response fulfills yet: the first that does has reward 1, not 1e6."""
    ours, _ = made(
        Ppo, make_settings(normalize_rewards="scale"), reward=lambda some: [0.0] * len(some)
    )
    next(iter(ours.batches(0)))
    assert (ours.reward_shift, ours.reward_scale) == (0.0, 1.0)


def _spread(rollout: Rollout) -> float:
    return 100 + 7 * float(rollout.tokens[0])


def test_training_stops_before_the_steps_of_a_round_above_max_kl() -> None:
    lines: list[str] = []
    ours, _ = made(Ppo, make_settings(max_kl=1e-3, learning_rate=0.05))
    ours.log = lines.append
    assert len(trained(ours)) == 4
    (line,) = lines
    assert line.startswith("step 4: the KL to the reference is ")
    assert "above max_kl 0.001; stopping here" in line
    assert ours.evaluate(4).criterion is None  # not kept as the best weights


def test_training_stops_after_patience_evaluations_below_the_best_judge_score() -> None:
    lines: list[str] = []
    fall = iter((5.0, 4.0, 3.0, 2.0))
    ours, _ = made(Ppo, make_settings(patience=2), judge=lambda some: [next(fall)] * len(some))
    ours.log = lines.append
    ours.evaluate(0)
    ours.evaluate(0)
    assert len(trained(ours, stop=1)) == 1  # below the best once: training continues
    ours.evaluate(1)
    assert trained(ours, start=4) == []
    assert lines == [
        "step 4: the judge's score has been below its best for 2 evaluations; stopping here"
    ]


def test_the_gain_is_paired_by_prompt_also_after_a_resume() -> None:
    """Prompts differ by tens, but each gains exactly 1: the gain has no error."""
    level = iter((0.0, 1.0, 1.0))

    def judge(some: Sequence[Rollout]) -> list[float]:
        gain = next(level)
        return [10.0 * i + gain for i in range(len(some))]

    ours, _ = made(Ppo, make_settings(), judge=judge)
    assert ours.evaluate(0).values["gain"] == 0
    seen = [ours.evaluate(1).values]
    state = ours.state()
    ours.initial_scores = []
    ours.restore(state)
    seen.append(ours.evaluate(2).values)
    for values in seen:
        assert values["gain"] == pytest.approx(1)
        assert values["gain_error"] == pytest.approx(0, abs=1e-6)
        assert values["error"] > 1


def test_an_evaluation_that_is_interrupted_is_not_counted() -> None:
    ours, _ = made(Ppo, make_settings(patience=2), judge=lambda some: [5.0] * len(some))

    def answer() -> list[Any]:
        raise Interrupted("stopped", signal_number=2)

    ours.sample_fixed_prompts = answer
    with pytest.raises(Interrupted):
        ours.evaluate(0)
    assert len(ours.state()["judge_history"]) == len(ours.state()["initial_scores"]) == 0


def test_a_constant_judge_score_is_not_below_its_best() -> None:
    ours, _ = made(Ppo, make_settings(patience=2), judge=lambda some: [5.0] * len(some))
    for _ in range(4):
        ours.evaluate(0)
    assert len(trained(ours, stop=1)) == 1


def test_without_a_judge_the_objective_is_the_criterion() -> None:
    ours, _ = made(Ppo, make_settings(learning_rate=0.05))
    trained(ours)
    seen = ours.evaluate(8)
    best = seen.values["reward"] - 0.05 * seen.values["kl"]
    assert seen.criterion == pytest.approx(-best)
    assert seen.values["kl"] > 0
    judged, _ = made(Ppo, make_settings(), judge=lambda some: [3.0] * len(some))
    assert judged.evaluate(0).criterion == -3
    assert judged.evaluate(0).values["error"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([math.nan], "reward: returned the number nan for 1 response; return one finite number"),
        ([1.0, 2.0], "reward: returned 2 numbers for 1 response"),
    ],
)
def test_a_reward_must_give_a_finite_number_for_each_response(
    given: list[float], message: str
) -> None:
    def reward(rollouts: Sequence[Rollout]) -> list[float]:
        del rollouts
        return given

    ours, _ = made(Ppo, make_settings(batch_size=1, num_mini_batches=1), reward=reward)
    with pytest.raises(InputError, match=message):
        next(iter(ours.batches(0)))


def test_the_steps_follow_from_the_epochs() -> None:
    # 6 prompts, 2 per round: 3 rounds of 4 steps per epoch
    ours, _ = made(Ppo, make_settings(steps=None, epochs=2.0))
    assert ours.steps == 24


def test_settings_that_rl_does_not_use_are_hidden() -> None:
    names = setting_specs(OnPolicySettings)
    assert "batch_tokens" not in names
    assert "data" not in names
    given = settings(PpoSettings, prompts=(Path("a.jsonl"),))
    assert given.data == given.prompts == (Path("a.jsonl"),)


def test_the_lucky_token_can_be_sampled() -> None:
    assert LUCKY not in made(Ppo, make_settings())[0].decoder.stop_token_ids

"""What PPO, GRPO and RLOO share: rounds, their state, the guard, the average of the weights."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.algorithms.acting import LUCKY, gradient, lucky, made, odd, settings, trained
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rollout_batch import Rollout
from upbring.data.trees.batch import make_batch
from upbring.errors import InputError, Interrupted
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting_specs


def asked(**given: object) -> Any:
    return settings(
        PpoSettings,
        **{"steps": 8, "update_epochs": 2, "num_mini_batches": 2, "batch_size": 1, **given},
    )


def tokens(ours: Ppo) -> list[list[int]]:
    return [branch.tokens.tolist() for tree in ours.trees for branch in tree.branches]


def test_each_inner_epoch_goes_through_the_whole_round_in_an_order_of_its_own() -> None:
    ours, _ = made(Ppo, asked(num_mini_batches=4, batch_size=1))
    seen = [batch.keys for batches in ours.batches(0) for batch in batches]
    assert len(seen) == 8
    first, second = seen[:4], seen[4:]
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_round_is_drawn_when_the_last_one_is_used_up() -> None:
    ours, _ = made(Ppo, asked())
    rounds = [(ours.number, tokens(ours)) for _ in ours.batches(0)]
    assert [number for number, _ in rounds] == [0] * 4 + [1] * 4
    assert rounds[0][1] == rounds[3][1] != rounds[4][1]


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_resumed_in_the_middle_of_a_round_it_takes_the_same_steps(stop: int) -> None:
    words = asked(
        kl_target=0.01,
        kl_horizon=10.0,
        normalize_rewards="scale",
        learning_rate=0.02,
        ema_decay=0.5,
    )
    whole, _ = made(Ppo, words, judge=lucky, reward=odd)
    expected = trained_alike(whole, 0, 8)
    first, roles = made(Ppo, words, judge=lucky, reward=odd)
    before = trained_alike(first, 0, stop)
    state = {name: value.clone() for name, value in first.state().items()}
    second, others = made(Ppo, words, judge=lucky, reward=odd)
    for role in ("policy", "value", "average"):
        pairs = zip(others.parameters(role).values(), roles.parameters(role).values(), strict=True)
        for mine, theirs in pairs:
            mine.data.copy_(theirs.data)
    second.restore(state)
    assert before + trained_alike(second, stop, 8) == expected


def trained_alike(ours: Ppo, start: int, stop: int) -> list[dict[str, float]]:
    """Take steps by plain gradient descent, which keeps no moments; return their metrics."""
    found = []
    for step, batches in enumerate(ours.batches(start), start):
        _, metrics = gradient(ours, batches)
        with torch.no_grad():
            for group in ours.trainable:
                for p in group.parameters.values():
                    if p.grad is not None:
                        p.sub_(0.05 * p.grad)
        found.append(metrics)
        if step + 1 == stop:
            ours.state()  # as a checkpoint asks for it, before the next batches are made
            break
    return found


def test_after_going_back_to_another_round_a_new_one_is_drawn() -> None:
    ours, _ = made(Ppo, asked())
    next(iter(ours.batches(0)))
    next(iter(ours.batches(6)))  # the loop went back, and goes on in the middle of a later round
    assert ours.number == 1


def test_after_going_back_to_before_the_first_round_the_next_one_is_measured() -> None:
    ours, _ = made(Ppo, asked(normalize_rewards="scale"), reward=lambda some: [*map(_spread, some)])
    start = ours.state()
    next(iter(ours.batches(0)))
    ours.restore(start)
    next(iter(ours.batches(6)))
    assert ours.usual > 0
    assert ours.scale > 1


def test_the_average_follows_every_step_once() -> None:
    ours, roles = made(Ppo, asked(ema_decay=0.75, learning_rate=0.05))
    name = next(n for n in roles.parameters("policy") if "lora_B" in n)
    policy = roles.parameters("policy")[name]
    kept = roles.parameters("average")[name.replace(".policy.", ".average.")]
    expected = kept.detach().clone()
    for step in range(3):
        trained(ours, start=step, stop=step + 1)
        ours.state()
        ours.state()  # asked twice, it follows once
        expected = 0.75 * expected + 0.25 * policy.detach()
        assert torch.allclose(kept, expected, atol=1e-7)
    assert expected.any()
    assert not kept.requires_grad or kept.grad is None


def test_the_weight_of_the_divergence_follows_its_target() -> None:
    ours, _ = made(Ppo, asked(kl_target=100.0, kl_horizon=4.0, num_mini_batches=1, batch_size=2))
    list(ours.batches(0))
    # four rounds of 2 responses; three times far below the target: β (1 − 0.2 · 2 / 4)
    assert ours.beta == pytest.approx(0.05 * 0.9**3)


def test_a_round_that_is_interrupted_while_it_is_drawn_leaves_no_trace() -> None:
    ours, _ = made(Ppo, asked(kl_target=100.0, kl_horizon=4.0))
    steps = ours.batches(0)
    for _ in range(4):
        next(steps)
    before = ours.state()

    def poll() -> None:
        raise Interrupted("stopped", signal_number=2)

    ours.poll = poll
    with pytest.raises(Interrupted):
        next(steps)
    assert ours.state()["numbers"].tolist() == before["numbers"].tolist()  # as it will be saved


def test_rewards_are_normalised_by_the_first_round() -> None:
    ours, _ = made(Ppo, asked(normalize_rewards="scale"), reward=lambda some: [*map(_spread, some)])
    next(iter(ours.batches(0)))
    gain = make_batch(ours.trees).per_branch["gain"]
    assert float(gain.mean()) == pytest.approx(0, abs=1e-5)
    assert float(gain.std(correction=0)) == pytest.approx(1, rel=1e-4)
    shift = ours.shift
    next(iter(ours.batches(4)))
    assert ours.shift == shift


def test_a_first_round_whose_rewards_are_alike_tells_no_scale() -> None:
    """As where a rule is met by nobody yet: the first who meets it is worth 1, not a million."""
    ours, _ = made(Ppo, asked(normalize_rewards="scale"), reward=lambda some: [0.0] * len(some))
    next(iter(ours.batches(0)))
    assert (ours.shift, ours.scale) == (0.0, 1.0)


def _spread(rollout: Rollout) -> float:
    return 100 + 7 * float(rollout.tokens[0])


def test_it_stops_before_learning_from_a_round_beyond_the_budget() -> None:
    said: list[str] = []
    ours, _ = made(Ppo, asked(max_kl=1e-3, learning_rate=0.05))
    ours.log = said.append
    assert len(trained(ours)) == 4
    (line,) = said
    assert line.startswith("step 4: responses diverge by ")
    assert "above max_kl 0.001; stopping here" in line
    assert ours.evaluate(4).criterion is None  # such weights are not kept


def test_it_stops_when_the_judge_has_been_lower_for_long() -> None:
    said: list[str] = []
    fall = iter((5.0, 4.0, 3.0, 2.0))
    ours, _ = made(Ppo, asked(patience=2), judge=lambda some: [next(fall)] * len(some))
    ours.log = said.append
    ours.evaluate(0)
    ours.evaluate(0)
    assert len(trained(ours, stop=1)) == 1  # lower once: it goes on
    ours.evaluate(1)
    assert trained(ours, start=4) == []
    assert said == ["step 4: the judge has been below its best for 2 evaluations; stopping here"]


def test_what_was_gained_is_told_prompt_by_prompt_across_a_resume_too() -> None:
    """Prompts differ by tens, and every one gains 1: that is certain."""
    level = iter((0.0, 1.0, 1.0))

    def judge(some: Sequence[Rollout]) -> list[float]:
        gained = next(level)
        return [10.0 * place + gained for place in range(len(some))]

    ours, _ = made(Ppo, asked(), judge=judge)
    assert ours.evaluate(0).values["gain"] == 0
    seen = [ours.evaluate(1).values]
    state = ours.state()
    ours.began = []
    ours.restore(state)
    seen.append(ours.evaluate(2).values)
    for values in seen:
        assert values["gain"] == pytest.approx(1)
        assert values["gain_error"] == pytest.approx(0, abs=1e-6)
        assert values["error"] > 1


def test_an_evaluation_that_is_interrupted_is_not_counted() -> None:
    ours, _ = made(Ppo, asked(patience=2), judge=lambda some: [5.0] * len(some))

    def answer() -> list[Any]:
        raise Interrupted("stopped", signal_number=2)

    ours.sample_responses = answer
    with pytest.raises(Interrupted):
        ours.evaluate(0)
    assert len(ours.state()["judged"]) == len(ours.state()["began"]) == 0  # it is done again


def test_a_judge_who_says_the_same_each_time_is_not_below_its_best() -> None:
    ours, _ = made(Ppo, asked(patience=2), judge=lambda some: [5.0] * len(some))
    for _ in range(4):
        ours.evaluate(0)
    assert len(trained(ours, stop=1)) == 1


def test_without_a_judge_what_is_maximised_chooses_the_weights() -> None:
    ours, _ = made(Ppo, asked(learning_rate=0.05))
    trained(ours)
    seen = ours.evaluate(8)
    best = seen.values["reward"] - 0.05 * seen.values["kl"]
    assert seen.criterion == pytest.approx(-best)
    assert seen.values["kl"] > 0
    judged, _ = made(Ppo, asked(), judge=lambda some: [3.0] * len(some))
    assert judged.evaluate(0).criterion == -3
    assert judged.evaluate(0).values["error"] == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([math.nan], "reward: gave the number nan for 1 responses; it must give a finite one"),
        ([1.0, 2.0], "reward: gave 2 numbers for 1 responses"),
    ],
)
def test_a_reward_must_give_a_finite_number_for_each_response(
    given: list[float], told: str
) -> None:
    def reward(rollouts: Sequence[Rollout]) -> list[float]:
        del rollouts
        return given

    ours, _ = made(Ppo, asked(batch_size=1, num_mini_batches=1), reward=reward)
    with pytest.raises(InputError, match=told):
        next(iter(ours.batches(0)))


def test_the_epochs_decide_about_the_steps() -> None:
    # 6 prompts, 2 a round: 3 rounds of 4 steps an epoch
    ours, _ = made(Ppo, asked(steps=None, epochs=2.0))
    assert ours.steps == 24


def test_what_a_verb_has_no_use_for_is_no_setting_of_it() -> None:
    names = setting_specs(OnPolicySettings)
    assert "batch_tokens" not in names
    assert "data" not in names
    given = settings(PpoSettings, prompts=(Path("a.jsonl"),))
    assert given.data == given.prompts == (Path("a.jsonl"),)


def test_the_lucky_token_can_be_drawn() -> None:
    assert LUCKY not in made(Ppo, asked())[0].decoder.stop_token_ids

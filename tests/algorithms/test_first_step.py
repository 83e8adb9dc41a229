"""Metrics that are impossible before the first update stop the run before it changes a weight."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.algorithms.acting import made, odd, settings
from tests.preferred import algorithm, own_reference, rankings
from upbring.algorithms.dpo import Dpo
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rloo import Rloo
from upbring.errors import DivergedError
from upbring.interruption import Interruption
from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.methods.rloo import RlooSettings
from upbring.settings.training import TrainSettings
from upbring.train.loop import Trainer

KINDS: Mapping[type[OnPolicy], type[OnPolicySettings]] = {
    Ppo: PpoSettings,
    Grpo: GrpoSettings,
    Rloo: RlooSettings,
}


class OtherWhenSampling(nn.Module):
    """Attention that is a little different where no gradient is needed."""

    def __init__(self, attend: nn.Module) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, hidden_states: Tensor, **kwargs: object) -> object:
        scale = 1.0 if torch.is_grad_enabled() else 1.05
        return self.attend(hidden_states=hidden_states * scale, **kwargs)


def trainer(ours: Any) -> Trainer:
    return Trainer(ours, TrainSettings(learning_rate=0.1, warmup=0), Interruption())


def stop_message(trainer: Trainer) -> str:
    """Return the message with which the first step stops, without any change of the weights."""
    before = {n: p.detach().clone() for n, p in trainer.parameters.items()}
    with pytest.raises(DivergedError) as caught:
        trainer._train_step(next(iter(trainer.algorithm.batches(0))))
    assert all(torch.equal(p, before[n]) for n, p in trainer.parameters.items())
    assert caught.value.exit_code == 5
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_that_differs_from_scoring_stops_the_run(kind: type[OnPolicy]) -> None:
    asked = settings(KINDS[kind], steps=2, num_generations=4)
    ours, _ = made(kind, asked)
    layer = ours.roles.policy.model.network.model.layers[0]
    layer.self_attn = OtherWhenSampling(layer.self_attn)
    message = stop_message(trainer(ours))
    assert message.startswith("step 1: sampler_gap is 0.")
    assert "Use --dtype float32, or another model" in message


def test_a_reference_other_than_the_initial_policy_stops_the_run() -> None:
    assert "step 1: chosen_logratio is" in stop_message(
        trainer(algorithm(Dpo, rankings(), beta=0.3))
    )


def test_a_first_step_as_expected_is_taken() -> None:
    plain = algorithm(Dpo, rankings(), beta=0.3)
    right: list[Any] = [algorithm(Dpo, own_reference(rankings(), plain), beta=0.3)]
    right += [
        made(kind, settings(asked, steps=2, num_generations=4), reward=odd)[0]
        for kind, asked in KINDS.items()
    ]
    for ours in right:
        taken = trainer(ours)
        before = {n: p.detach().clone() for n, p in taken.parameters.items()}
        result = taken._train_step(next(iter(ours.batches(0))))
        assert result.decision == "take"
        assert any(not torch.equal(p, before[n]) for n, p in taken.parameters.items())

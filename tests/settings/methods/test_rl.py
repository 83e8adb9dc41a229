"""What the settings of on-policy RL say about a round."""

from pathlib import Path

import pytest

from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.methods.rloo import RlooSettings


@pytest.mark.parametrize("kind", [PpoSettings, RlooSettings])
def test_a_penalty_in_the_reward_needs_the_old_logprobs(kind: type[OnPolicySettings]) -> None:
    """Even with one step per round: the KL is a part of the reward."""
    assert kind(model="m", prompts=(Path("p.jsonl"),), update_epochs=1).needs_old_logprobs

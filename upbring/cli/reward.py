"""`upbring reward`."""

from upbring.settings.methods.reward_model import RewardSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[RewardSettings]) -> None:
    """Run the stage."""
    train("reward", resolved)

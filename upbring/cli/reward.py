"""`upbring reward`."""

from upbring.recipe.training import train
from upbring.settings.resolve import Resolved
from upbring.settings.reward import RewardSettings


def run(resolved: Resolved[RewardSettings]) -> None:
    """Run the stage."""
    train("reward", resolved)

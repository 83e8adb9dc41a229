"""`upbring ppo`."""

from upbring.recipe.training import train
from upbring.settings.ppo import PpoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[PpoSettings]) -> None:
    """Run the stage."""
    train("ppo", resolved)

"""`upbring orpo`."""

from upbring.recipe.training import train
from upbring.settings.orpo import OrpoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[OrpoSettings]) -> None:
    """Run the stage."""
    train("orpo", resolved)

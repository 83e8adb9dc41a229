"""`upbring rloo`."""

from upbring.recipe.training import train
from upbring.settings.resolve import Resolved
from upbring.settings.rloo import RlooSettings


def run(resolved: Resolved[RlooSettings]) -> None:
    """Run the stage."""
    train("rloo", resolved)

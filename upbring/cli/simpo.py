"""`upbring simpo`."""

from upbring.recipe.training import train
from upbring.settings.resolve import Resolved
from upbring.settings.simpo import SimpoSettings


def run(resolved: Resolved[SimpoSettings]) -> None:
    """Run the stage."""
    train("simpo", resolved)

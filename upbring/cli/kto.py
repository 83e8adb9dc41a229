"""`upbring kto`."""

from upbring.recipe.training import train
from upbring.settings.kto import KtoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[KtoSettings]) -> None:
    """Run the stage."""
    train("kto", resolved)

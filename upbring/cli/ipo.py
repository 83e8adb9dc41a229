"""`upbring ipo`."""

from upbring.recipe.training import train
from upbring.settings.ipo import IpoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[IpoSettings]) -> None:
    """Run the stage."""
    train("ipo", resolved)

"""`upbring dpo`."""

from upbring.recipe.training import train
from upbring.settings.dpo import DpoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[DpoSettings]) -> None:
    """Run the stage."""
    train("dpo", resolved)

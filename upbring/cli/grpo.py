"""`upbring grpo`."""

from upbring.recipe.training import train
from upbring.settings.grpo import GrpoSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[GrpoSettings]) -> None:
    """Run the stage."""
    train("grpo", resolved)

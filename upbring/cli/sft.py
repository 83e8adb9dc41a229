"""`upbring sft`."""

from upbring.recipe.training import train
from upbring.settings.resolve import Resolved
from upbring.settings.sft import SftSettings


def run(resolved: Resolved[SftSettings]) -> None:
    """Run the stage."""
    train("sft", resolved)

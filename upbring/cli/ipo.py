"""`upbring ipo`."""

from upbring.settings.methods.ipo import IpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[IpoSettings]) -> None:
    """Run the stage."""
    train("ipo", resolved)

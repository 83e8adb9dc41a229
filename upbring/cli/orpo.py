"""`upbring orpo`."""

from upbring.settings.methods.orpo import OrpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[OrpoSettings]) -> None:
    """Run the stage."""
    train("orpo", resolved)

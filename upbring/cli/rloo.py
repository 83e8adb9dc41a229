"""`upbring rloo`."""

from upbring.settings.methods.rloo import RlooSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[RlooSettings]) -> None:
    """Run the stage."""
    train("rloo", resolved)

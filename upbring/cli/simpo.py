"""`upbring simpo`."""

from upbring.settings.methods.simpo import SimpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[SimpoSettings]) -> None:
    """Run the stage."""
    train("simpo", resolved)

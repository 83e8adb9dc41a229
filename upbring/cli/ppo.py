"""`upbring ppo`."""

from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[PpoSettings]) -> None:
    """Run the stage."""
    train("ppo", resolved)

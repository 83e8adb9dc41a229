"""`upbring dpo`."""

from upbring.settings.methods.dpo import DpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[DpoSettings]) -> None:
    """Run the stage."""
    train("dpo", resolved)

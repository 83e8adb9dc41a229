"""`upbring grpo`."""

from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[GrpoSettings]) -> None:
    """Run the stage."""
    train("grpo", resolved)

"""`upbring sft`."""

from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[SftSettings]) -> None:
    """Run the stage."""
    train("sft", resolved)

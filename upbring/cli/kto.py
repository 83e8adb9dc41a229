"""`upbring kto`."""

from upbring.settings.methods.kto import KtoSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[KtoSettings]) -> None:
    """Run the stage."""
    train("kto", resolved)

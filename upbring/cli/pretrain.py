"""`upbring pretrain`."""

from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.resolve import Resolved
from upbring.stages.run import train


def run(resolved: Resolved[PretrainSettings]) -> None:
    """Run the stage."""
    train("pretrain", resolved)

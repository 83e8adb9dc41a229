"""`upbring pretrain`."""

from upbring.recipe.training import train
from upbring.settings.pretrain import PretrainSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[PretrainSettings]) -> None:
    """Run the stage."""
    train("pretrain", resolved)

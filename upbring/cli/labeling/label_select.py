"""`upbring label select`: choose which items people rank first."""

from upbring.settings.commands.label_votes import LabelSelectSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.select_votes import select_votes
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[LabelSelectSettings]) -> None:
    """Set the order of the items that nobody has voted on."""
    console = Console(stderr=True)
    select_votes(resolved.settings, log=make_log(console), track=make_tracker(console))

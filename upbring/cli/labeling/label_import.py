"""`upbring label import`: read votes that were made with another tool."""

from upbring.errors import InputError
from upbring.settings.commands.label_votes import LabelImportSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.import_votes import import_votes
from upbring.terminal import Console


def run(resolved: Resolved[LabelImportSettings]) -> None:
    """Store the votes, and print how many are new and what was left out."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    summary = import_votes(resolved.settings, log=console.print)
    if not summary.num_votes:
        raise InputError(f"{resolved.settings.data[0]}: has no vote that can be imported")

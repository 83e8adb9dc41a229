"""`upbring label export`: write the votes as training data."""

from upbring.settings.commands.label_votes import LabelExportSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.export_votes import export_votes
from upbring.terminal import Console


def run(resolved: Resolved[LabelExportSettings]) -> None:
    """Write the file, and print how many rows it has and what was left out."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    export_votes(resolved.settings, log=console.print)

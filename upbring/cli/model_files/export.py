"""`upbring export`: write a model that other tools load unchanged."""

from upbring.export.export_model import export_model
from upbring.settings.commands.export import ExportSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ExportSettings]) -> None:
    """Export and print what was verified."""
    console = Console(stderr=True)
    export_model(resolved.settings, log=make_log(console), track=make_tracker(console))

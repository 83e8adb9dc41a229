"""`upbring import`: convert a GGUF file to a model that can be trained."""

from upbring.export.gguf.import_model import import_model
from upbring.settings.commands.export import ImportSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train import devices
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ImportSettings]) -> None:
    """Convert the file and print what was verified."""
    devices.retain_freed_memory()
    console = Console(stderr=True)
    import_model(resolved.settings, log=make_log(console), track=make_tracker(console))

"""`upbring export`: write a model that other tools load unchanged."""

from upbring.export.outgoing import DTYPES, export_adapter, export_merged
from upbring.settings.commands.export import ExportSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train import devices
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ExportSettings]) -> None:
    """Export and print what was verified."""
    settings = resolved.settings
    devices.retain_freed_memory()
    console = Console(stderr=True)
    log, track = make_log(console), make_tracker(console)
    if settings.kind == "adapter":
        max_difference = export_adapter(settings.run, settings.to, log=log, track=track)
        library = "peft"
    else:
        dtype = DTYPES[settings.dtype]
        max_difference = export_merged(settings.run, settings.to, dtype=dtype, log=log, track=track)
        library = "transformers"
    log(
        f"{settings.to}: verified with {library}; log-probabilities differ by at most "
        f"{max_difference:.1e}"
    )

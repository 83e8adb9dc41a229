"""`upbring export`: a model that other tools load as it stands."""

from rich.console import Console

from upbring.export.outgoing import DTYPES, export_adapter, export_merged
from upbring.settings.commands.export import ExportSettings
from upbring.settings.resolve import Resolved
from upbring.train import devices


def run(resolved: Resolved[ExportSettings]) -> None:
    """Export and tell what was checked."""
    settings = resolved.settings
    devices.keep_memory()
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if settings.kind == "adapter":
        found = export_adapter(settings.run, settings.to, notice=say)
        reader = "peft"
    else:
        dtype = DTYPES[settings.precision]
        found = export_merged(settings.run, settings.to, dtype=dtype, notice=say)
        reader = "transformers"
    say(f"{settings.to}: loaded by {reader}, log-probabilities differ by at most {found:.1e}")

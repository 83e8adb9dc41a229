"""`upbring label`: people rank responses on a page; their votes are kept in a store."""

from upbring.settings.commands.label import LabelSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.label import describe_address, label_server, summary
from upbring.terminal import Console


def run(resolved: Resolved[LabelSettings]) -> None:
    """Serve the page until Ctrl-C, or let simulated annotators vote."""
    settings = resolved.settings
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with label_server(settings, log=console.print) as server:
        if settings.simulate:
            from upbring.stages.collection.simulate import simulate  # noqa: PLC0415 -- loads torch

            simulate(server, count=settings.simulate, seed=settings.seed)
        else:
            console.print(describe_address(server.address, settings))
            server.wait()
        console.print(summary(server.store))

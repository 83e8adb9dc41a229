"""`upbring collect`: rankings of a model's answers, by people, a judge or simulated annotators."""

from rich.console import Console

from upbring.pipeline.other_stages import ranking
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import collect, waiting_text


def run(resolved: Resolved[CollectSettings]) -> None:
    """Draw the answers, have them ranked, or say what people are to open."""
    settings = resolved.settings
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    ranks, who = ranking(settings)
    if collect(settings, settings.to, ranks=ranks, who=who, say=say) is None:
        say(waiting_text(settings.to))

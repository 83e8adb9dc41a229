"""`upbring collect`: rank a model's responses, by people, a judge or simulated annotators."""

from upbring.pipeline.other_stages import make_ranker
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import collect, rankings_waiting_text
from upbring.terminal import Console


def run(resolved: Resolved[CollectSettings]) -> None:
    """Sample the responses and rank them, or print which page people have to open."""
    settings = resolved.settings
    console = Console()

    def log(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    ranker, annotator = make_ranker(settings)
    if collect(settings, settings.to, ranker=ranker, annotator=annotator, log=log) is None:
        log(rankings_waiting_text(settings.to))

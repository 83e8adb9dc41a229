"""`upbring collect`: rank a model's responses, by people, a judge or simulated annotators."""

from upbring.pipeline.other_stages import make_ranker
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import collect, rankings_waiting_text
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[CollectSettings]) -> None:
    """Sample the responses and rank them, or print which page people have to open."""
    settings = resolved.settings
    log, track = make_log(Console()), make_tracker(Console(stderr=True))
    ranker, annotator = make_ranker(settings, track=track)
    to = settings.to
    if collect(settings, to, ranker=ranker, annotator=annotator, log=log, track=track) is None:
        log(rankings_waiting_text(settings.to))

"""`upbring score`: score responses with a reward model, or with an ensemble."""

import sys
from collections.abc import Iterable
from itertools import chain

from upbring import durable
from upbring.data.read.folders import expand_folders
from upbring.data.read.records import Record
from upbring.errors import InputError
from upbring.judge.reward_model import Ensemble, load_reward_models
from upbring.settings.commands.score import ScoreSettings
from upbring.settings.resolve import Resolved
from upbring.stages.score_file import ScoreSummary, format_lines, read_responses, score_records
from upbring.terminal import Console
from upbring.train import devices
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ScoreSettings]) -> None:
    """Score every response and print a summary."""
    settings = resolved.settings
    console = Console(stderr=True)

    def log(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if settings.to is not None and settings.to.exists():
        raise InputError(f"{settings.to}: exists already; choose another --to")
    files = [
        read_responses(path, format=settings.format, skip_bad=settings.skip_bad, log=log)
        for path in expand_folders(settings.data)
    ]
    count = sum(1 for file in files for _ in file)  # reports malformed rows before any work
    machine = devices.prepare(settings)
    members = load_reward_models(
        [settings.model, *settings.ensemble],
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        log=log,
    )
    ensemble = Ensemble(members, settings.combine, settings.spread)
    written, summary = _score_all(ensemble, chain.from_iterable(files), count, console)
    if settings.to is None:
        sys.stdout.write("".join(written))
    else:
        with durable.explain_os_errors(settings.to):
            settings.to.parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(settings.to, "".join(written))
    for line in summary.format_lines():
        log(line)


def _score_all(
    ensemble: Ensemble, records: Iterable[Record], count: int, console: Console
) -> tuple[list[str], ScoreSummary]:
    """Return a line of JSON per response, and the summary."""
    written: list[str] = []
    summary = ScoreSummary()
    track = make_tracker(console)
    for record, scores in track(score_records(ensemble, records), total=count, label="scoring"):
        summary.add(record, scores)
        written.extend(format_lines(record, scores))
    return written, summary

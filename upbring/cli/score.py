"""`upbring score`: responses of files, scored by a reward model or by several as one."""

import sys
from collections.abc import Iterable
from itertools import chain

from rich.console import Console

from upbring import durable
from upbring.data.read.records import Record
from upbring.errors import InputError
from upbring.judge.reward_model import Ensemble, load_rewards
from upbring.settings.commands.score import ScoreSettings
from upbring.settings.resolve import Resolved
from upbring.stages.score_file import Tally, lines, responses, scored
from upbring.train import devices
from upbring.train.progress import Progress


def run(resolved: Resolved[ScoreSettings]) -> None:
    """Score every response and tell what came out."""
    settings = resolved.settings
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if settings.to is not None and settings.to.exists():
        raise InputError(f"{settings.to}: exists already; choose another --to")
    files = [
        responses(path, format=settings.format, skip_bad=settings.skip_bad, notice=say)
        for path in settings.data
    ]
    count = sum(1 for file in files for _ in file)  # and what is malformed is told before any work
    machine = devices.prepare(settings)
    members = load_rewards(
        [settings.model, *settings.ensemble],
        device=machine.device,
        compute=machine.compute,
        notice=say,
    )
    judge = Ensemble(members, settings.combine, settings.spread)
    written, tally = _scores(judge, chain.from_iterable(files), count, console)
    if settings.to is None:
        sys.stdout.write("".join(written))
    else:
        with durable.explained(settings.to):
            settings.to.parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(settings.to, "".join(written))
    for line in tally.told():
        say(line)


def _scores(
    judge: Ensemble, records: Iterable[Record], count: int, console: Console
) -> tuple[list[str], Tally]:
    """Return a line for each response, and what is told when all is done."""
    written: list[str] = []
    tally = Tally()
    with Progress(count, console=console, show=("responses",)) as progress:
        for number, (record, scores) in enumerate(scored(judge, records), 1):
            tally.add(record, scores)
            written.extend(lines(record, scores))
            progress.update(number, {"responses": float(len(written))})
    return written, tally

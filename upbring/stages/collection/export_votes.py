"""`upbring label export`: the votes of a store as a file of training rows."""

import datetime as dt
import math
from collections.abc import Callable

from upbring import durable
from upbring.errors import InputError, format_value, nearest
from upbring.plurals import format_count
from upbring.runs.source_results import CONSENSUS, write_source_results
from upbring.settings.commands.label_votes import LabelExportSettings
from upbring.stages.collection.vote_figures import vote_results
from upbring.votes.counted_votes import VoteFilter, count_votes
from upbring.votes.records import LabelAnnotator
from upbring.votes.store import open_store
from upbring.votes.training_rows import ExportOptions, RowUse, TrainingRows, make_training_rows

DEFAULT_USES: dict[str, RowUse] = {"reward": "votes", "sft": "votes"}


def export_votes(
    settings: LabelExportSettings, *, log: Callable[[str], None] = lambda _: None
) -> TrainingRows:
    """Write the rows and return them; log what was left out."""
    options = _make_options(settings)
    with open_store(settings.labels, read_only=True) as store:
        accepted = _make_filter(settings, store.annotators())
        items, votes = store.items(), store.votes()
        counted = count_votes(items, votes, accepted)
        note = CONSENSUS if options.use == "consensus" else ""
        figures = vote_results(items, votes, accepted, note=note)
    found = make_training_rows(counted, options)
    for reason, count in sorted(found.left_out.items()):
        log(f"left out: {count} {reason}")
    if not found.rows:
        raise InputError(
            f"{settings.labels}: no vote gives a row for {settings.method}; collect more with "
            "`upbring label`, or use fewer filters"
        )
    with durable.explain_os_errors(settings.to):
        settings.to.parent.mkdir(parents=True, exist_ok=True)
    durable.write_text(settings.to, found.to_jsonl())
    write_source_results(settings.to, figures)
    log(
        f"{settings.to}: {format_count(len(found.rows), 'row')} from the votes on "
        f"{format_count(len(counted), 'item')}"
    )
    return found


def _make_options(settings: LabelExportSettings) -> ExportOptions:
    default = DEFAULT_USES.get(settings.method, "consensus")
    if settings.use not in {None, default} and settings.method in {"kto", "sft"}:
        raise InputError(
            f"use: {settings.method} has only one kind of rows, {default}; leave use out"
        )
    if settings.min_agreement is not None and settings.method == "sft":
        raise InputError(
            "min_agreement: sft writes demonstrations, which are not ranked; leave it out"
        )
    return ExportOptions(settings.method, settings.use or default, settings.min_agreement)


def _make_filter(settings: LabelExportSettings, annotators: list[LabelAnnotator]) -> VoteFilter:
    names = [each.name for each in annotators]
    weights = dict(_parse_weight(text) for text in settings.weights)
    for flag, wanted in (("annotators", settings.annotators), ("weights", tuple(weights))):
        for name in wanted:
            if name not in names:
                guess = nearest(name, names)
                hint = f"did you mean {guess}?" if guess else f"use one of {', '.join(names)}"
                raise InputError(f"{flag}: {format_value(name)} has no votes; {hint}")
    return VoteFilter(
        frozenset(settings.annotators),
        since=-math.inf if settings.since is None else _parse_day(settings.since, "since"),
        until=math.inf
        if settings.until is None
        else _parse_day(settings.until, "until") + dt.timedelta(days=1).total_seconds(),
        weights=weights,
    )


def _parse_day(text: str, flag: str) -> float:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{flag}: {format_value(text)} is no day; write it like 2026-11-30"
        ) from error
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()


def _parse_weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not 0 <= weight < math.inf:
        raise InputError(
            f"weights: {format_value(text)} is not NAME=WEIGHT with a weight of at least 0; write "
            "it like ann=2"
        )
    return name, weight

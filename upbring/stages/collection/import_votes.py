"""`upbring label import`: votes of other tools into the store."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from upbring.plurals import format_count
from upbring.settings.commands.label_votes import LabelImportSettings
from upbring.votes.importing.imported_vote import ImportedVote
from upbring.votes.importing.read_export import VoteFormat, read_export
from upbring.votes.records import NewItem, NewVote
from upbring.votes.store import VoteStore, open_store


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """How many votes were read, and how many of them are new."""

    num_votes: int
    num_new: int


def import_votes(
    settings: LabelImportSettings, *, log: Callable[[str], None] = lambda _: None
) -> ImportSummary:
    """Read all files, then store their votes; the same vote is stored once."""
    read = [(path, *read_export(path, items=settings.items)) for path in settings.data]
    for path, name, found in read:
        log(f"{path}: format {name}, {format_count(len(found.votes), 'vote')}")
        for reason, count in sorted(found.left_out.items()):
            log(f"{path}: left out: {count} {reason}")
    votes = [(name, vote) for _, name, found in read for vote in found.votes]
    if not votes:
        return ImportSummary(0, 0)
    with open_store(settings.to, warn=log) as store:
        num_before = len(store.votes())
        for name, vote in votes:
            _store_vote(store, name, vote)
        summary = ImportSummary(len(votes), len(store.votes()) - num_before)
    log(f"{settings.to}: {format_count(summary.num_new, 'new vote')} of {summary.num_votes}")
    return summary


def _store_vote(store: VoteStore, name: VoteFormat, vote: ImportedVote) -> None:
    item = NewItem(vote.prompt, vote.responses)
    (item_id,) = store.add_items([item])
    annotator = store.add_annotator(vote.annotator)
    content = [name, item.key, vote.annotator, vote.places, vote.at]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    new = NewVote("ranked", vote.places, comment=vote.comment, seconds=vote.seconds)
    store.import_vote(f"import-{key}", annotator.annotator_id, item_id, new, at=vote.at)

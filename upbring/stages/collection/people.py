"""Rankings by people for a stage of a recipe, from the same store as `upbring label`.

    ranked/
      answers.jsonl     the responses to rank
      labels/votes.db   the votes; `upbring label --to ranked/labels` serves the page
      rankings.jsonl    written when every item has its votes

An item that somebody skipped counts as voted on, so that a skip does not hold up a pipeline.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.errors import format_command
from upbring.runs.results import EvalResult
from upbring.stages.collection.vote_figures import vote_results
from upbring.votes.assignment import AssignmentRules
from upbring.votes.records import LabelItem, LabelVote, NewItem
from upbring.votes.store import STORE_FILE, VoteStore, open_store

LABELS_FOLDER = "labels"
OVERLAP_NAME = "overlap"


@dataclass(frozen=True, slots=True)
class PeopleProgress:
    """How many items have all their votes."""

    finished: int
    total: int


def add_items(folder: Path, items: Sequence[NewItem], *, overlap: int) -> None:
    """Add items to the store of a stage, unless a server has it open: then they are there."""
    labels = folder / LABELS_FOLDER
    if (labels / STORE_FILE).exists() and durable.is_locked(labels):
        return
    with open_store(labels, rules=AssignmentRules(overlap)) as store:
        store.add_items(items)
        store.set_setting(OVERLAP_NAME, str(overlap))


def stored_overlap(labels: Path) -> int | None:
    """Return the overlap that a store was last used with."""
    if not (labels / STORE_FILE).is_file():
        return None
    with open_store(labels, read_only=True) as store:
        value = store.setting(OVERLAP_NAME)
    return None if value is None else int(value)


def read_progress(folder: Path, *, overlap: int) -> PeopleProgress:
    """Return how many items are finished."""
    with open_store(folder / LABELS_FOLDER, read_only=True) as store:
        counts = {item.item_id: 0 for item in store.items() if item.gold_places is None}
        for vote in store.votes():
            if vote.item_id in counts and not vote.is_repeat and not vote.adjudicated:
                counts[vote.item_id] += 1
    return PeopleProgress(sum(count >= overlap for count in counts.values()), len(counts))


def read_rankings(folder: Path) -> list[Mapping[str, Any]]:
    """Return the rows of all rankings that express a preference."""
    with open_store(folder / LABELS_FOLDER, read_only=True) as store:
        return list(ranking_rows(store))


def read_figures(folder: Path) -> list[EvalResult]:
    """Return how well the people agree, and which biases their votes have."""
    with open_store(folder / LABELS_FOLDER, read_only=True) as store:
        return vote_results(store.items(), store.votes())


def ranking_rows(store: VoteStore) -> Iterator[Mapping[str, Any]]:
    """Yield a row per vote, by item; a decision on an item replaces the votes on it."""
    by_item: dict[int, list[LabelVote]] = {}
    for vote in store.votes():
        if vote.vote.places is not None and not vote.is_repeat:
            by_item.setdefault(vote.item_id, []).append(vote)
    for item in store.items():
        votes = by_item.get(item.item_id, [])
        decisions = [vote for vote in votes if vote.adjudicated]
        if item.gold_places is None:
            for vote in decisions[-1:] or votes:
                if len(set(vote.vote.places or ())) > 1:  # nothing is preferred if all are tied
                    yield _row(item, vote)


def waiting_text(folder: Path, progress: PeopleProgress) -> str:
    """Return what people must do."""
    return (
        f"{folder}: waiting for people, {progress.finished} of {progress.total} items are ranked; "
        f"open the page with {format_command('label', '--to', folder / LABELS_FOLDER)}, rank, and "
        "run the same command again"
    )


def _row(item: LabelItem, vote: LabelVote) -> Mapping[str, Any]:
    return {
        "prompt": [{"role": m.role, "content": m.content} for m in item.prompt],
        "responses": [response.text for response in item.responses],
        "ranks": [*(vote.vote.places or ())],
        "annotator": vote.annotator.name,
    }

from pathlib import Path

from tests.votes.stored import new_item, ranking
from upbring.stages.collection.people import (
    PeopleProgress,
    add_items,
    read_progress,
    read_rankings,
    stored_overlap,
)
from upbring.votes.records import NewVote
from upbring.votes.store import open_store


def test_a_decision_replaces_votes_and_ties_of_all_are_left_out(tmp_path: Path) -> None:
    add_items(tmp_path, [new_item(n) for n in range(3)], overlap=1)
    assert stored_overlap(tmp_path / "labels") == 1
    assert stored_overlap(tmp_path / "elsewhere") is None
    with open_store(tmp_path / "labels") as store:
        ann = store.add_annotator("Ann", adjudicates=True).annotator_id
        for vote in (ranking(1, 2, 3, 4), ranking(1, 1, 1, 1), NewVote("skipped")):
            lease = store.take_item(ann)
            assert lease is not None
            store.submit(str(lease.item_id), ann, lease.item_id, vote)
        store.take_adjudication(ann, 1)
        store.submit("decision", ann, 1, ranking(4, 3, 2, 1))
    assert read_progress(tmp_path, overlap=1) == PeopleProgress(3, 3)
    assert read_progress(tmp_path, overlap=2) == PeopleProgress(0, 3)
    rows = read_rankings(tmp_path)
    assert [row["ranks"] for row in rows] == [[4, 3, 2, 1]]
    assert rows[0]["annotator"] == "Ann"

from pathlib import Path

from tests.votes.stored import new_item, ranking, store_of
from upbring.votes.assignment import AssignmentRules


def test_counts_are_right_after_the_overlap_changed(tmp_path: Path) -> None:
    with store_of(tmp_path, 2) as store:
        ann = store.add_annotator("Ann").annotator_id
        lease = store.take_item(ann)
        assert lease is not None
        store.submit("k", ann, lease.item_id, ranking())
        assert store.progress(ann).num_open == 1
    with store_of(tmp_path, 2, rules=AssignmentRules(overlap=2)) as store:
        progress = store.progress(ann)
        assert (progress.num_own, progress.num_votes, progress.num_items) == (1, 1, 2)
        assert progress.num_open == 2


def test_items_come_back_as_they_were_added(tmp_path: Path) -> None:
    item = new_item(7, num_responses=2, gold_places=(2, 1))
    with store_of(tmp_path, 0) as store:
        [item_id] = store.add_items([item])
        stored = store.item(item_id)
    assert (stored.prompt, stored.responses, stored.gold_places, stored.key) == (
        item.prompt,
        item.responses,
        item.gold_places,
        item.key,
    )

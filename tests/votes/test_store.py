import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.votes.stored import HandClock, new_item, ranking, store_of
from upbring.errors import InputError, ResourceError
from upbring.votes.assignment import AssignmentRules
from upbring.votes.records import LabelFlag, NewVote
from upbring.votes.store import LeaseError, VoteStore, open_store


def vote_once(store: VoteStore, annotator_id: int, key: str, vote: NewVote | None = None) -> int:
    lease = store.take_item(annotator_id)
    assert lease is not None
    store.submit(key, annotator_id, lease.item_id, vote or ranking())
    return lease.item_id


def test_a_vote_comes_back_as_it_was_given(tmp_path: Path) -> None:
    vote = NewVote(
        "ranked",
        (2, 1, 2, 4),
        all_bad=True,
        demonstration="Paris, “France”\n",
        edited_response=1,
        flags=(LabelFlag(0, "harmful"), LabelFlag(None, "private")),
        comment="<b>é\u202e",
        seconds=2.5,
    )
    with store_of(tmp_path, 1) as store:
        ann = store.add_annotator("Ann")
        lease = store.take_item(ann.annotator_id)
        assert lease is not None
        stored = store.submit("k", ann.annotator_id, lease.item_id, vote)
        assert store.votes() == [stored]
    assert stored.vote == replace(vote, places=(2, 1, 2, 3))
    assert (stored.annotator, stored.order) == (ann, lease.order)
    with open_store(tmp_path, read_only=True) as again:
        assert again.votes() == [stored]
        with pytest.raises(InputError, match="readonly"):
            again.add_annotator("Bob")


def test_the_same_key_stores_one_vote(tmp_path: Path) -> None:
    with store_of(tmp_path, 2) as store:
        ann, bob = (store.add_annotator(name).annotator_id for name in ("Ann", "Bob"))
        item_id = vote_once(store, ann, "k")
        again = store.submit("k", ann, item_id, ranking(4, 3, 2, 1))
        assert [again] == store.votes()
        assert again.vote.places == (1, 2, 3, 4)
        with pytest.raises(InputError, match="key: was used for another vote"):
            store.submit("k", bob, item_id, ranking())


def test_a_vote_needs_the_lease_of_its_item(tmp_path: Path) -> None:
    with store_of(tmp_path, 2) as store:
        ann = store.add_annotator("Ann").annotator_id
        with pytest.raises(LeaseError):
            store.submit("k", ann, 1, ranking())
        lease = store.take_item(ann)
        assert lease is not None
        with pytest.raises(LeaseError):
            store.submit("k", ann, 3 - lease.item_id, ranking())
        assert store.votes() == []


def test_two_tabs_of_an_annotator_show_the_same_item(tmp_path: Path) -> None:
    with store_of(tmp_path, 3) as store:
        ann = store.add_annotator("Ann").annotator_id
        first, second = store.take_item(ann), store.take_item(ann)
        assert first is not None
        assert second is not None
        assert (first.item_id, first.order) == (second.item_id, second.order)


@pytest.mark.parametrize("overlap", [1, 3])
def test_racing_annotators_give_exactly_the_overlap(tmp_path: Path, overlap: int) -> None:
    rules = AssignmentRules(overlap=overlap)
    with store_of(tmp_path, 20, rules=rules) as store:
        ids = [store.add_annotator(f"racer {n}").annotator_id for n in range(8)]

        def work(annotator_id: int) -> None:
            draws = random.Random(annotator_id)
            while (lease := store.take_item(annotator_id)) is not None:
                if draws.random() < 0.2:
                    store.release(annotator_id)
                    continue
                key = f"{annotator_id}-{lease.item_id}"
                store.submit(key, annotator_id, lease.item_id, ranking())

        threads = [threading.Thread(target=work, args=(each,)) for each in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        left = [store.take_item(each) for each in ids]
        counts = Counter(vote.item_id for vote in store.votes())
    assert left == [None] * 8
    assert set(counts.values()) == {overlap}
    assert len(counts) == 20


def test_an_expired_lease_goes_to_someone_else(tmp_path: Path) -> None:
    clock = HandClock()
    with store_of(tmp_path, 1, clock=clock) as store:
        ann, bob = (store.add_annotator(name).annotator_id for name in ("Ann", "Bob"))
        lease = store.take_item(ann)
        assert lease is not None
        assert store.take_item(bob) is None
        clock.pass_time(299)
        assert store.renew(ann, lease.item_id)
        clock.pass_time(299)
        assert store.take_item(bob) is None, "the heartbeat renewed the lease"
        clock.pass_time(2)
        assert store.take_item(bob) is not None
        assert not store.renew(ann, lease.item_id)
        with pytest.raises(LeaseError, match="given to someone else"):
            store.submit("late", ann, lease.item_id, ranking())
        store.submit("in time", bob, lease.item_id, ranking())
        assert len(store.votes()) == 1


def test_a_late_vote_counts_while_its_place_is_free(tmp_path: Path) -> None:
    clock = HandClock()
    with store_of(tmp_path, 1, clock=clock) as store:
        ann = store.add_annotator("Ann").annotator_id
        lease = store.take_item(ann)
        assert lease is not None
        clock.pass_time(3600)
        store.submit("late", ann, lease.item_id, ranking())
        assert len(store.votes()) == 1


def test_undo_is_a_later_event_and_brings_the_item_back(tmp_path: Path) -> None:
    with store_of(tmp_path, 2) as store:
        ann = store.add_annotator("Ann").annotator_id
        assert store.undo("u0", ann) is None
        first, second = vote_once(store, ann, "a"), vote_once(store, ann, "b")
        assert store.take_item(ann) is None
        for _ in range(2):  # the second time is a retry
            undone = store.undo("u1", ann)
            assert undone is not None
            assert undone[0].item_id == undone[1].item_id == second
        assert [vote.key for vote in store.votes()] == ["a"]
        again = store.undo("u2", ann)
        assert again is not None
        assert again[0].item_id == first
        assert [(e.kind, e.undone_id) for e in store.history()] == [
            ("vote", None),
            ("vote", None),
            ("undo", 2),
            ("undo", 1),
        ]
        store.submit("c", ann, first, ranking(4, 3, 2, 1))
        assert [vote.vote.places for vote in store.votes()] == [(4, 3, 2, 1)]


def test_a_skipped_item_is_left_for_others(tmp_path: Path) -> None:
    with store_of(tmp_path, 1) as store:
        ann, bob = (store.add_annotator(name).annotator_id for name in ("Ann", "Bob"))
        vote_once(store, ann, "s", NewVote("skipped"))
        assert store.take_item(ann) is None
        vote_once(store, bob, "c", NewVote("cannot_say"))
        assert store.progress(bob).num_open == 0


def test_orders_differ_between_annotators_and_not_between_visits(tmp_path: Path) -> None:
    with store_of(tmp_path, 30, rules=AssignmentRules(overlap=2)) as store:
        orders: dict[int, list[tuple[int, ...]]] = {}
        for name in ("Ann", "Bob"):
            annotator_id = store.add_annotator(name).annotator_id
            for number in range(30):
                lease = store.take_item(annotator_id)
                assert lease is not None
                orders.setdefault(lease.item_id, []).append(lease.order)
                store.submit(f"{name}{number}", annotator_id, lease.item_id, ranking())
    tops = Counter(order[0] for pair in orders.values() for order in pair)
    assert sum(first != second for first, second in orders.values()) > 20
    assert min(tops[number] for number in range(4)) >= 5  # 60 draws from 4


def test_repeats_and_gold_items_come_as_often_as_set(tmp_path: Path) -> None:
    rules = AssignmentRules(repeat_every=5, gold_every=4)
    with store_of(tmp_path, 40, rules=rules) as store:
        gold = store.add_items([new_item(n, gold_places=(1, 2, 3, 4)) for n in (100, 101)])
        ann = store.add_annotator("Ann").annotator_id
        for number in range(20):
            vote_once(store, ann, str(number))
        votes = store.votes()
    assert [vote.item_id for vote in votes if vote.item_id in gold] == gold
    repeats = [index for index, vote in enumerate(votes) if vote.is_repeat]
    assert len(repeats) == 4
    for index in repeats:
        earlier = [vote for vote in votes[:index] if vote.item_id == votes[index].item_id]
        assert len(earlier) == 1
    assert len({vote.item_id for vote in votes}) == 16


def test_higher_priorities_come_first(tmp_path: Path) -> None:
    with store_of(tmp_path, 5) as store:
        store.set_priorities({3: 2.0, 5: 1.0})
        ann = store.add_annotator("Ann").annotator_id
        assert [vote_once(store, ann, str(n)) for n in range(5)] == [3, 5, 1, 2, 4]


def test_equal_items_are_stored_once(tmp_path: Path) -> None:
    with store_of(tmp_path, 3) as store:
        assert store.add_items([new_item(2), new_item(7), new_item(2)]) == [3, 4, 3]
        assert store.item(4).responses[1].model == "model-1"
        assert [item.item_id for item in store.items()] == [1, 2, 3, 4]


def test_an_imported_vote_needs_no_lease(tmp_path: Path) -> None:
    with store_of(tmp_path, 1) as store:
        ids = [store.add_annotator(name).annotator_id for name in ("Ann", "Bob")]
        for annotator_id in [*ids, *ids]:
            store.import_vote(f"i{annotator_id}", annotator_id, 1, ranking(), at=12.0)
        assert [vote.at for vote in store.votes(item_id=1)] == [12.0, 12.0]
        assert store.take_item(ids[0]) is None


def test_an_adjudication_is_marked_and_does_not_count(tmp_path: Path) -> None:
    with store_of(tmp_path, 1) as store:
        judge = store.add_annotator("Judge", adjudicates=True).annotator_id
        store.take_adjudication(judge, 1)
        store.submit("a", judge, 1, ranking())
        assert [vote.adjudicated for vote in store.votes()] == [True]
        assert store.progress(judge).num_open == 1


@pytest.mark.parametrize("name", ["", " \n", "x" * 81])
def test_a_name_has_1_to_80_characters(tmp_path: Path, name: str) -> None:
    with store_of(tmp_path, 0) as store, pytest.raises(InputError, match="name: use 1 to 80"):
        store.add_annotator(name)


def test_simulated_annotators_and_people_have_different_names(tmp_path: Path) -> None:
    with store_of(tmp_path, 0) as store:
        store.add_annotator("Ann")
        with pytest.raises(InputError, match="Ann is the name of a person"):
            store.add_annotator("Ann", simulated=True)


@pytest.mark.parametrize("count", [1, 10])
def test_an_item_has_2_to_9_responses(tmp_path: Path, count: int) -> None:
    with store_of(tmp_path, 0) as store, pytest.raises(InputError, match="has 2 to 9"):
        store.add_items([new_item(1, num_responses=count)])


def test_two_writers_are_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with store_of(tmp_path, 1):
        with (
            pytest.raises(InputError, match=r"process \d+ on .* is using this folder"),
            open_store(tmp_path),
        ):
            pass
        with open_store(tmp_path, read_only=True) as reader:
            assert len(reader.items()) == 1


def test_a_full_disk_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    with store_of(tmp_path, 200) as store:
        ann = store.add_annotator("Ann").annotator_id
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        long_vote = NewVote("ranked", (1, 2, 3, 4), comment="x" * 2000)
        with pytest.raises(ResourceError, match="full; free some space on the disk"):
            [vote_once(store, ann, str(number), long_vote) for number in range(200)]
        confirmed = len(store.votes())
        assert 0 < confirmed < 100
        assert store.history()[-1].key == str(confirmed - 1)
        store._connection.execute("PRAGMA max_page_count = 100000")
        vote_once(store, ann, str(confirmed), long_vote)
        assert len(store.votes()) == confirmed + 1

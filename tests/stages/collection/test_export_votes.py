"""Votes of a store become files that training reads."""

import json
from pathlib import Path

import pytest

from tests.votes.stored import HandClock, new_item
from upbring import durable
from upbring.data.read.detect_format import detect_format
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Demonstration, Label
from upbring.errors import InputError
from upbring.runs.source_results import read_source_results
from upbring.settings.commands.label_votes import LabelExportSettings
from upbring.stages.collection.export_votes import export_votes
from upbring.votes.records import NewVote
from upbring.votes.store import open_store

DAY = 86_400.0
# item, annotator, places
VOTES = (
    *((0, "ann", (1, 2)), (0, "bob", (1, 2)), (0, "eve", (2, 1))),
    *((1, "ann", (1, 3, 2)), (1, "bob", (1, 2, 2)), (2, "ann", (1, 1))),
)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Return a store with votes of three annotators, one on each day from 1970-01-01."""
    with open_store(tmp_path / "labels", clock=HandClock().source) as store:
        sizes = (2, 3, 2)
        ids = store.add_items([new_item(n, num_responses=k) for n, k in enumerate(sizes)])
        people = {name: store.add_annotator(name).annotator_id for name in ("ann", "bob", "eve")}
        for number, (item, name, places) in enumerate(VOTES):
            at = DAY * ("ann", "bob", "eve").index(name)
            text = "Written." if number == 0 else None
            new = NewVote("ranked", places, demonstration=text)
            store.import_vote(f"k{number}", people[name], ids[item], new, at=at)
    return tmp_path / "labels"


def exported(labels: Path, **settings: object) -> list[dict[str, object]]:
    to = labels.with_name("rows.jsonl")
    export_votes(LabelExportSettings(labels=labels, to=to, **settings))  # type: ignore[arg-type]  # checked by pydantic
    return [json.loads(line) for line in to.read_text().splitlines()]


@pytest.mark.parametrize(
    ("method", "kind", "count"),
    [
        ("reward", Comparison, 6),
        ("dpo", Comparison, 5),
        ("kto", Label, 4),
        ("sft", Demonstration, 1),
    ],
)
def test_every_export_is_read_by_the_method_that_trains_on_it(
    labels: Path, method: str, kind: type[Comparison], count: int
) -> None:
    assert len(exported(labels, method=method)) == count
    path = labels.with_name("rows.jsonl")
    assert set(detect_format(path, kind).unread_fields) <= {"annotators", "annotator"}
    assert len(list(read_records(path, kind))) == count


def test_the_same_votes_give_the_same_bytes(labels: Path) -> None:
    to = labels.with_name("rows.jsonl")
    for method in ("reward", "dpo", "kto", "sft"):
        exported(labels, method=method)
        first = to.read_bytes()
        exported(labels, method=method)
        assert to.read_bytes() == first


def test_shares_of_votes_are_soft_labels(labels: Path) -> None:
    pair, *_, tie = exported(labels, method="dpo")
    assert (pair["probability"], tie["probability"]) == (0.666667, 0.5)
    records = list(read_records(labels.with_name("rows.jsonl"), Comparison))
    # the second item: 1 < 3, 2 and 1 < 2 = 2
    assert [each.probability for each in records] == [0.666667, 1.0, 1.0, 0.75, 0.5]
    assert records[0].ranks == (1, 2)
    assert records[-1].ranks == (1, 1)


def test_votes_are_filtered_by_name_day_weight_and_agreement(labels: Path) -> None:
    assert len(exported(labels, method="reward", annotators=("bob",))) == 2
    assert len(exported(labels, method="reward", since="1970-01-02", until="1970-01-02")) == 2
    weighted = exported(labels, method="dpo", weights=("eve=2", "bob=0"))
    assert weighted[0]["probability"] == 0.666667  # eve against ann
    kept = exported(labels, method="dpo", min_agreement=0.5)
    assert len(kept) == 3  # the pairs of the second item; one pair of three agrees on the first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"annotators": ("bobb",)}, "annotators: 'bobb' has no votes; did you mean bob?"),
        ({"weights": ("bob",)}, "weights: 'bob' is not NAME=WEIGHT"),
        ({"weights": ("bob=-1",)}, "weights: 'bob=-1' is not NAME=WEIGHT"),
        ({"since": "yesterday"}, "since: 'yesterday' is no day; write it like 2026-11-30"),
        ({"since": "1971-01-01"}, "no vote gives a row for reward"),
        ({"method": "kto", "use": "votes"}, "use: kto has only one kind of rows, consensus"),
        ({"method": "sft", "min_agreement": 0.5}, "min_agreement: sft writes demonstrations"),
    ],
)
def test_a_filter_that_cannot_be_met_is_reported_and_nothing_is_written(
    labels: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        exported(labels, **settings)
    assert message in str(caught.value)
    assert not labels.with_name("rows.jsonl").exists()


def test_a_folder_without_votes_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no votes; collect some with `upbring label`"):
        exported(tmp_path / "labels")


def test_the_figures_of_the_votes_are_beside_the_file(labels: Path) -> None:
    exported(labels, method="reward")
    data, messages = labels.with_name("rows.jsonl"), list[str]()
    found = read_source_results(data, durable.sha256_file(data), log=messages.append)
    values = {each.name: each.value for each in found}
    assert (values["annotators"], values["votes"]) == (3, 6)
    # the pair: 1 of 3 pairs of votes agrees; the ranking of three: 1 < 2 and 1 < 3 agree, and
    # 3 < 2 is a tie for the other annotator
    assert values["agreement"] == pytest.approx((1 + 2 + 0.5) / (3 + 3))
    exported(labels, method="reward", annotators=("ann",))
    found = read_source_results(data, durable.sha256_file(data), log=messages.append)
    assert {each.name: each.value for each in found}["votes"] == 3
    assert not messages

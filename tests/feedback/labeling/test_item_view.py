import json
from pathlib import Path

from tests.votes.stored import store_of
from upbring.feedback.labeling.item_view import item_json, others_json, vote_json
from upbring.feedback.labeling.vote_form import parse_vote
from upbring.votes.records import LabelFlag, NewVote

VOTE = NewVote("ranked", (1, 2, 3, 4), False, "x", 3, (LabelFlag(2, "false"),), "so")  # noqa: FBT003 -- not all bad


def test_the_browser_gets_no_model_names(tmp_path: Path) -> None:
    with store_of(tmp_path, 1) as store:
        ann = store.add_annotator("Ann").annotator_id
        lease = store.take_item(ann)
        assert lease is not None
        shown = item_json(store.item(1), lease, ticket="t")
        assert shown["responses"] == [f"response {n} to 0" for n in lease.order]
        assert "model" not in json.dumps(shown)
        stored = store.submit("k", ann, 1, VOTE)
        others = others_json([stored], lease)
        assert "Ann" not in json.dumps(others)
        assert others[0]["places"] == [n + 1 for n in lease.order]


def test_a_vote_that_is_shown_again_is_the_vote_that_was_given(tmp_path: Path) -> None:
    with store_of(tmp_path, 1) as store:
        lease = store.take_item(store.add_annotator("Ann").annotator_id)
        assert lease is not None
        assert parse_vote(vote_json(VOTE, lease), lease.order) == VOTE

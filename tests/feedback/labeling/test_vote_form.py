from typing import Any

import pytest

from upbring.errors import InputError
from upbring.feedback.labeling.vote_form import parse_vote, require_object, require_string
from upbring.votes.records import LabelFlag, NewVote

ORDER = (2, 0, 1)  # the response at the top of the page is number 2


def test_positions_on_the_page_become_numbers_of_the_item() -> None:
    vote = {
        "outcome": "ranked",
        "places": [1, 2, 3],
        "all_bad": True,
        "edited": 0,
        "demonstration": "better",
        "flags": [{"response": 2, "reason": "false"}, {"response": None, "reason": "harmful"}],
        "comment": "so",
        "seconds": 1e9,
    }
    assert parse_vote(vote, ORDER) == NewVote(
        "ranked",
        (2, 3, 1),
        all_bad=True,
        demonstration="better",
        edited_response=2,
        flags=(LabelFlag(1, "false"), LabelFlag(None, "harmful")),
        comment="so",
        seconds=86_400.0,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "a"}, "unknown field 'model'"),
        ({"places": [1, 2]}, "places: is"),
        ({"places": "123"}, "places: is '123'"),
        ({"all_bad": 1}, "all_bad: is 1"),
        ({"edited": 3}, "response: 3 is no position"),
        ({"edited": True}, "response: True is no position"),
        ({"flags": {}}, "flags: is {}"),
        ({"flags": [1]}, "flags: is 1"),
        ({"flags": [{}] * 13}, "send a list of flags"),
        ({"comment": "x" * 10_001}, "comment: has 10001 characters; use at most 10000"),
        ({"comment": 3}, "comment: is 3; send text"),
        ({"demonstration": "a\0"}, "demonstration: has a NUL"),
        ({"demonstration": "\ud800"}, "half a surrogate pair"),
        ({"seconds": "1"}, "seconds: is '1'"),
    ],
)
def test_malformed_votes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_vote({"outcome": "ranked", "places": [1, 2, 3], **change}, ORDER)


def test_other_values_are_no_objects_and_no_texts() -> None:
    with pytest.raises(InputError, match="vote: is"):
        parse_vote([1], ORDER)
    with pytest.raises(InputError, match="body: is None"):
        require_object(None)
    with pytest.raises(InputError, match="key: is None; send text"):
        require_string({}, "key", limit=3)

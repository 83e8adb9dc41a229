import pytest

from upbring.errors import InputError
from upbring.votes.records import LabelFlag, NewVote
from upbring.votes.vote_body import check_vote, decode_body, encode_body


@pytest.mark.parametrize(
    ("vote", "message"),
    [
        (NewVote("ranked"), "places: a ranking has places"),
        (NewVote("cannot_say", (1, 2)), "places: a ranking has places"),
        (NewVote("skipped", all_bad=True), "all_bad: is only for rankings"),
        (NewVote("liked"), "outcome: is 'liked'"),  # type: ignore[arg-type] # a wrong value
        (NewVote("ranked", (1,)), "1 for 2 responses"),
        (NewVote("ranked", (1, 3)), "3 is not between 1 and 2"),
        (NewVote("ranked", (0, 1)), "0 is not between"),
        (NewVote("ranked", (True, 1)), "True is not between"),
        (NewVote("skipped", flags=(LabelFlag(2, "false"),)), "flags: 2 is no response"),
        (NewVote("skipped", edited_response=-1), "edited_response: -1 is no response"),
        (NewVote("skipped", demonstration=" "), "demonstration: is empty"),
    ],
)
def test_a_vote_that_does_not_fit_is_refused(vote: NewVote, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_vote(vote, num_responses=2)


def test_gaps_between_places_are_closed() -> None:
    vote = check_vote(NewVote("ranked", (4, 4, 1, 4)), num_responses=4)
    assert vote.places == (2, 2, 1, 2)


def test_a_body_is_read_as_it_was_written() -> None:
    vote = NewVote("ranked", (2, 1), False, "x", 1, (LabelFlag(None, "false"),), "ü", 1.5)  # noqa: FBT003 -- not all bad
    assert decode_body(encode_body(vote, (1, 0))) == (vote, (1, 0))

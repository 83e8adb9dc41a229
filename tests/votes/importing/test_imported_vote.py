import pytest

from upbring.data.read.row_errors import RowError
from upbring.votes.importing.imported_vote import parse_prompt, parse_time, places_of


def test_times_are_seconds_since_1970() -> None:
    assert parse_time(12.5) == 12.5
    assert parse_time("1970-01-01T00:01:00Z") == parse_time("1970-01-01T00:01:00") == 60
    assert parse_time("1970-01-01T01:00:00+01:00") == 0
    assert parse_time(None) == parse_time("yesterday") == 0


def test_responses_that_are_not_named_come_last_together() -> None:
    assert places_of(["c", "a"], ["a", "b", "c", "d"], "x") == (2, 3, 1, 3)


def test_a_prompt_ends_with_the_user() -> None:
    talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    with pytest.raises(RowError, match="ends with a turn of role assistant"):
        parse_prompt(talk, "prompt")

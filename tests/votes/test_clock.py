import pytest

from tests.votes.stored import HandClock
from upbring.votes.clock import StoreClock


def test_a_jump_of_the_system_clock_is_reported_once_and_ignored() -> None:
    hand, said = HandClock(), list[str]()
    clock = StoreClock(hand.source, newest=0, warn=said.append)
    hand.pass_time(10)
    assert clock.now() == 1_000_010
    for jump in (-7200, 5000):
        hand.wall += jump
        assert clock.now() == pytest.approx(1_000_010)
        assert clock.now() == pytest.approx(1_000_010)
    assert [text.partition(";")[0] for text in said] == [
        "the system's clock jumped by -2.0 h",
        "the system's clock jumped by 1.4 h",
    ]


def test_time_continues_from_the_newest_vote_if_the_clock_is_behind() -> None:
    hand, said = HandClock(), list[str]()
    clock = StoreClock(hand.source, newest=1_000_500, warn=said.append)
    hand.pass_time(1)
    assert clock.now() == 1_000_501
    assert len(said) == 1
    assert said[0].startswith("the system's clock is 500 s behind the newest vote")

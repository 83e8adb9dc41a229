from upbring.tracking import no_tracking, track_call


def test_a_tracker_that_shows_nothing_passes_everything_on() -> None:
    assert list(no_tracking("abc", total=3, label="x")) == ["a", "b", "c"]


def test_a_tracked_call_returns_what_the_function_returns() -> None:
    assert track_call(no_tracking, "adding", lambda: 1 + 1) == 2

import itertools

from upbring.data.chat import text_spans

SPANS = [(0, 2), (2, 3), (5, 8), (9, 10)]


def test_the_searches_agree_with_their_definitions() -> None:
    for start, stop in itertools.product(range(12), repeat=2):
        if start < stop:
            assert list(text_spans.overlapping(SPANS, start, stop)) == [
                s for s in SPANS if s[0] < stop and start < s[1]
            ]
            assert list(text_spans.inside(SPANS, start, stop)) == [
                s for s in SPANS if start <= s[0] and s[1] <= stop
            ]
        assert list(text_spans.starting_in(SPANS, start, stop)) == [
            s for s in SPANS if start <= s[0] < stop
        ]
        ended = [s for s in SPANS if s[1] <= start]
        assert text_spans.last_before(SPANS, start) == (ended[-1] if ended else None)

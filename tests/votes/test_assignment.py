from collections import Counter

from upbring.votes.assignment import shown_order


def test_an_order_depends_on_seed_item_annotator_and_repeat() -> None:
    def order(seed: int = 0, key: str = "k", annotator_id: int = 1, *, repeat: bool = False) -> str:
        shown = shown_order(key, 9, seed=seed, annotator_id=annotator_id, repeat=repeat)
        assert sorted(shown) == [*range(9)]
        return str(shown)

    variants = [order(), order(1), order(key="l"), order(annotator_id=2), order(repeat=True)]
    assert len(set(variants)) == 5
    assert order() == order()


def test_each_response_is_equally_often_on_top() -> None:
    tops = Counter(
        shown_order("k", 2, seed=0, annotator_id=n, repeat=False)[0] for n in range(2000)
    )
    assert abs(tops[0] - 1000) < 4 * (2000 * 0.25) ** 0.5  # four standard deviations

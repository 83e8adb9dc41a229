from tests.votes.stored import new_item
from upbring.votes.records import dense_places


def test_equal_content_has_equal_keys() -> None:
    assert new_item(1).key == new_item(1, gold_places=(1, 2, 3, 4)).key != new_item(2).key


def test_places_without_gaps_keep_order_and_ties() -> None:
    assert dense_places((9, 9, 2, 5)) == (3, 3, 1, 2)

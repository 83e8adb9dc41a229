from collections import Counter

from upbring.toyworld.private_records import REPETITIONS, alternatives, private_records


def test_each_number_of_times_has_as_many_records() -> None:
    records = private_records(seed=0)
    assert set(Counter(record.repetitions for record in records).values()) == {8}
    assert {record.repetitions for record in records} == set(REPETITIONS)


def test_names_and_numbers_are_unique() -> None:
    records = private_records(seed=0)
    assert len({record.name for record in records}) == len(records)
    assert len({record.number for record in records}) == len(records)


def test_the_true_number_is_none_of_the_255_alternatives() -> None:
    for record in private_records(seed=0):
        others = alternatives(record, seed=0)
        assert len(set(others)) == 255  # log2 of 256 candidates: at most 8 bits of exposure
        assert record.number not in others

from array import array

from upbring.data.check.length_histogram import Lengths


def test_quantiles_are_lengths_that_occur() -> None:
    lengths = Lengths()
    for value in range(100, 0, -1):
        lengths.add(value)
    assert lengths.quantiles == (1, 50, 90, 99, 100)
    assert lengths.total == 5050
    assert Lengths(array("q", [7])).quantiles == (7, 7, 7, 7, 7)


def test_every_length_is_in_the_bin_of_its_power_of_two() -> None:
    lengths = Lengths(array("q", [0, 2, 3, 16]))
    assert lengths.bins == [(0, 0, 1), (1, 1, 0), (2, 3, 2), (4, 7, 0), (8, 15, 0), (16, 31, 1)]
    assert Lengths().bins == []

import numpy as np

from upbring.maths.statistics import share
from upbring.maths.too_few import MIN_ITEMS, too_few_text


def test_an_interval_is_given_from_the_least_number_of_items_on() -> None:
    enough, too_few = np.ones(MIN_ITEMS), np.ones(MIN_ITEMS - 1)
    assert share(enough).low > 0.8
    assert not share(too_few).low > 0
    assert too_few_text(MIN_ITEMS - 1) == "n = 19: too few to say"

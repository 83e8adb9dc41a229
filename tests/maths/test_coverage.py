"""95 % intervals contain the true value in 92 to 98 % of samples, or there is none.

`make nightly` repeats the simulation of the documentation's table; each run checks the table, and
that a shorter simulation is near it.
"""

import pytest

from tests.conftest import IS_NIGHTLY
from tests.maths import coverage
from tests.maths.coverage import SCENARIOS, SIZES, Scenario

LOWEST, HIGHEST = 92.0, 98.0
TOO_FEW = "too few to say"


def table_rows() -> dict[str, list[str]]:
    """Return the cells of each row of the documentation's table."""
    text = coverage.PAGE.read_text(encoding="utf-8")
    table = text.split(coverage.START)[1].split(coverage.END)[0].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    return {row[0]: row[1:] for row in rows}


def name(scenario: Scenario) -> str:
    return f"{scenario.family}: {scenario.name}"


def test_the_table_has_every_family_and_no_dishonest_interval() -> None:
    rows = table_rows()
    assert list(rows) == [name(each) for each in SCENARIOS]
    for row, cells in rows.items():
        for size, cell in zip(SIZES, cells, strict=True):
            if cell == TOO_FEW:
                assert size <= 20, row
            else:
                assert LOWEST <= float(cell) <= HIGHEST, (row, size)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_intervals_hold_as_often_as_the_table_says(scenario: Scenario) -> None:
    for size, cell in zip(SIZES, table_rows()[name(scenario)], strict=True):
        if not IS_NIGHTLY and size not in (10, 20):
            continue
        num_trials = coverage.NUM_TRIALS if IS_NIGHTLY else 100
        held = coverage.coverage(scenario, size, num_trials=num_trials)
        if cell == TOO_FEW:
            assert held is None, size
            continue
        assert held is not None, size
        assert abs(100 * held - float(cell)) <= (1.0 if IS_NIGHTLY else 10.0), size

"""The table has a row per family, and says why a cell has no number."""

from rich.console import Console

from upbring.runs.results import EvalResult
from upbring.stages.redteam.attack_table import ALL, attack_cells, attack_table

RESULTS = [
    EvalResult("redteam", "m", "role/attack_success", 0.25, 0.1, 0.4, 40),
    EvalResult("redteam", "m", "role/attack_success_at_8", 0.5, 0.3, 0.7, 40),
    EvalResult("redteam", "m", "role/comprehension", 1.0, too_few=4),
    EvalResult("redteam", "m", "encoding/attack_success", None, note="not understood: 3 % of …"),
    EvalResult("redteam", "m", "attack_success", 0.25, 0.1, 0.4, 40),
    EvalResult("redteam", "m", "attack_success_change", 0.1, against="b"),
    EvalResult("redteam", "b", "role/attack_success", 0.9),
]


def test_cells_are_those_of_one_model() -> None:
    cells = attack_cells(RESULTS, "m")
    assert list(cells) == ["role", "encoding", ALL]
    assert cells["role"]["attack_success"].value == 0.25
    assert list(cells[ALL]) == ["attack_success"]


def test_the_table_shows_shares_intervals_and_reasons() -> None:
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(attack_table(RESULTS, "m"))
    text = captured.get()
    assert "25 % (10–40)" in text
    assert "success in 8" in text
    assert "not understood" in text
    assert "100 % (n = 4)" in text

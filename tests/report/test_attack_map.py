"""The heat map has a table per number, a row per family, and says why a cell is empty."""

from upbring.report.attack_map import MAX_TINT, attack_map
from upbring.report.run_data import Evidence
from upbring.runs.results import EvalResult


def made(*results: EvalResult) -> Evidence:
    models = tuple(dict.fromkeys(each.model for each in results))
    return Evidence("made", (), results, (), (), models, None, ())


def number(model: str, name: str, value: float | None, note: str = "") -> EvalResult:
    bounds = (None, None) if value is None else (max(0.0, value - 0.1), min(1.0, value + 0.1))
    return EvalResult("redteam", model, name, value, *bounds, 40, note=note)


EVIDENCE = made(
    number("before", "plain/attack_success_at_8", 0.2),
    number("before", "role/attack_success_at_8", 1.0),
    number("before", "encoding/attack_success_at_8", None, "not understood: 3 % of the requests"),
    number("before", "trained/attack_success_at_8", 0.9),
    number("before", "attack_success_at_8", 0.9),
    number("before", "role/comprehension", 0.95),
    number("after", "role/attack_success_at_8", 0.0),
    number("after", "attack_success_at_8_change", -0.9),
)


def test_tables_rows_and_columns() -> None:
    success, comprehension = attack_map(EVIDENCE)
    assert success.title == "Attacks that succeed in at least one of 8 tries"
    assert success.models == ("before", "after")
    assert [name for name, _ in success.rows] == [
        *("plain", "role", "encoding", "families trained on", "all that are understood"),
    ]
    assert comprehension.title == "Innocent requests understood under the same attacks"
    assert attack_map(made()) == []


def test_the_worst_cell_has_the_strongest_color_and_gaps_have_reasons() -> None:
    success, comprehension = attack_map(EVIDENCE)
    rows = dict(success.rows)
    before, after = rows["role"]
    assert (before.text, before.tint, after.tint) == ("100.0 %", MAX_TINT, 0)
    assert rows["encoding"][0].text == "not understood"
    assert rows["encoding"][0].is_gap
    assert rows["plain"][1].text == "–"
    understood = dict(comprehension.rows)["role"][0]
    assert understood.tint == round(MAX_TINT * (1 - 0.95))

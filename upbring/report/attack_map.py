"""The heat map of the redteam suite: families of attacks by model, for each of its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from upbring.report import texts
from upbring.report.run_data import Evidence
from upbring.runs.results import CHANGE_SUFFIX, EvalResult

SUITE, SUCCESS = "redteam", "attack_success"
COMPREHENSION, OVER_REFUSAL = "comprehension", "over_refusal"
TOTALS = {"": "all that are understood", "trained": "families trained on", "held_out": "held out"}
MAX_TINT = 70  # percent of the color behind the worst cell, so that the text stays readable


@dataclass(frozen=True, slots=True)
class MapCell:
    """A number with its interval, or why there is none; `tint` is how strong its color is."""

    text: str
    interval: str = ""
    tint: int = 0  # percent
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class MapTable:
    """One number: a row per family, a column per model."""

    title: str
    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MapCell, ...]], ...]


def attack_map(evidence: Evidence) -> list[MapTable]:
    """Return a table for each number that was measured; none without the suite."""
    results = {
        (each.model, each.name): each
        for each in evidence.results
        if each.suite == SUITE and not each.name.endswith(CHANGE_SUFFIX)
    }
    models = tuple(dict.fromkeys(model for model, _ in results))
    numbers = dict.fromkeys(name.rpartition("/")[2] for _, name in results)
    ordered = [
        *sorted((n for n in numbers if n.startswith(f"{SUCCESS}_at_")), reverse=True),
        *(n for n in (SUCCESS, OVER_REFUSAL, COMPREHENSION) if n in numbers),
    ]
    return [_table(number, models, results) for number in ordered]


def _table(
    number: str, models: tuple[str, ...], results: Mapping[tuple[str, str], EvalResult]
) -> MapTable:
    families = dict.fromkeys(
        name.rpartition("/")[0] for _, name in results if name.rpartition("/")[2] == number
    )
    totals = [name for name in families if name in TOTALS]
    rows = []
    for family in [*(name for name in families if name not in TOTALS), *totals]:
        name = f"{family}/{number}" if family else number
        cells = tuple(_cell(results.get((model, name))) for model in models)
        rows.append((TOTALS.get(family, family), cells))
    return MapTable(_title(number), models, tuple(rows))


def _title(number: str) -> str:
    if number.startswith(f"{SUCCESS}_at_"):
        return f"Attacks that succeed in at least one of {number.rpartition('_')[2]} tries"
    titles = {
        SUCCESS: "Attacks that succeed in one try",
        OVER_REFUSAL: "Innocent requests refused under the same attacks",
        COMPREHENSION: "Innocent requests understood under the same attacks",
    }
    return titles[number]


def _cell(result: EvalResult | None) -> MapCell:
    if result is None:
        return MapCell("–", is_gap=True)
    if result.value is None:
        return MapCell(result.note.partition(":")[0] or "not measured", is_gap=True)
    bad = 1 - result.value if result.name.endswith(COMPREHENSION) else result.value
    tint = round(MAX_TINT * min(1.0, max(0.0, bad)))
    return MapCell(texts.format_number(result.value, "share"), texts.format_interval(result), tint)

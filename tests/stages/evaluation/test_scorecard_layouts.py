"""No number or name is broken, at any width."""

import io
import re

import pytest
from rich.console import Console

from upbring.runs.results import EvalResult
from upbring.stages.evaluation.scorecard import print_scorecard


def shown(
    found: list[EvalResult], models: list[str], *, width: int = 160, is_terminal: bool = True
) -> str:
    output = io.StringIO()
    console = Console(width=width, file=output, force_terminal=is_terminal, color_system=None)
    print_scorecard(console, found, models)
    return re.sub(r"\x1b\[\d*m", "", output.getvalue())


def found_by(*models: str) -> list[EvalResult]:
    """Return a number with an interval for each of these models, in three suites."""
    first, *others = models
    return [
        *(EvalResult("facts", m, "accuracy", 0.933, 0.841, 0.974, count=60) for m in models),
        *(EvalResult("facts", m, "accuracy_change", 0.9, 0.8, 0.95, against=first) for m in others),
        *(
            EvalResult("preference", m, "win_rate_length_controlled", 0.7, 0.6, 0.8, against=first)
            for m in others
        ),
        *(EvalResult("instructions", m, "prompt_strict", 1.0, 0.94, 1.0) for m in models),
    ]


def test_a_scorecard_has_a_row_a_number_and_an_arrow_where_a_change_is_sure() -> None:
    found = [
        EvalResult("facts", "base", "accuracy", 0.2, 0.1, 0.3, count=50),
        EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, count=50),
        EvalResult("facts", "sft", "accuracy_change", 0.6, 0.5, 0.7, against="base"),
        EvalResult("refusals", "sft", "over_refusal", 0.1, 0.0, 0.2, is_synthetic=True),
        EvalResult("refusals", "sft", "over_refusal_change", 0.1, -0.1, 0.2, against="base"),
        EvalResult("forgetting", "sft", "perplexity_change", 0.1, 0.05, 0.2, against="base"),
        EvalResult("instructions", "sft", "strict/punctuation:no_comma", 1.0),
    ]
    text = shown(found, ["base", "sft"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "facts accuracy 20.0 % (10.0 … 30.0) 80.0 % (70.0 … 90.0) ▲" in lines
    assert "refusals over_refusal* 10.0 % (0.0 … 20.0)" in lines
    assert "forgetting perplexity_change against base 10.0 % (5.0 … 20.0)" in lines
    assert "no_comma" not in text
    assert "accuracy_change" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("models", [("a",), ("base", "sft", "dpo", "ppo"), ("runs/sft-1" * 4, "b")])
def test_no_number_or_name_of_a_scorecard_is_broken(width: int, models: tuple[str, ...]) -> None:
    text = shown(found_by(*models), [*models], width=width)
    assert max(map(len, text.splitlines())) <= width
    for whole in ("accuracy", "prompt_strict", "93.3 %", "84.1…97.4", *models):
        assert whole in text.replace(" … ", "…")
    if len(models) > 1:
        assert "win_rate_length_controlled" in text


def test_a_narrow_terminal_gets_a_block_per_suite_with_intervals_below_the_values() -> None:
    lines = shown(found_by("base", "sft", "dpo", "ppo"), ["base", "sft", "dpo", "ppo"], width=80)
    words = [line.split() for line in lines.splitlines()]
    assert ["accuracy", *["93.3", "%"], *["93.3", "%", "▲"] * 3] in words
    assert ["84.1…97.4"] * 4 in words


def test_long_names_of_models_become_letters_with_a_legend() -> None:
    names = [f"runs/a-long-name-of-a-run-{number}" for number in range(3)]
    text = shown(found_by(*names), names, width=80)
    assert "A: runs/a-long-name-of-a-run-0" in text
    assert "against A" in text


def test_a_file_gets_lines_that_are_not_broken() -> None:
    names = [f"runs/a-long-name-of-a-run-{number}" for number in range(3)]
    text = shown(found_by(*names), names, width=80, is_terminal=False)
    row = [
        "facts",
        "accuracy",
        *["93.3", "%", "(84.1", "…", "97.4)"],
        *["93.3", "%", "(84.1", "…", "97.4)", "▲"],
    ]
    assert row in [line.split()[: len(row)] for line in text.splitlines()]


def test_what_was_not_measured_is_explained_below_the_table() -> None:
    result = EvalResult("facts", "a", "accuracy", None, note="no data")
    text = shown([result], ["a"], width=80)
    assert "not measured: facts accuracy: no data" in text

import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.evaluate.facts import SUITE
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.measurable import measurable_results

MODELS = ("base", "sft")


def settings(data: Path | None = None, **given: object) -> EvaluateSettings:
    return EvaluateSettings(
        models=MODELS,
        data=(data,) if data else (),
        **{"suite": (), **given},  # type: ignore[arg-type]  # any settings
    )


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def names(found: list) -> set[str]:  # type: ignore[type-arg]  # of results
    return {f"{each.suite}/{each.name}" for each in found}


def test_the_toy_world_gives_every_suite() -> None:
    found = measurable_results(settings(), MODELS)
    assert {each.suite for each in found} == {
        "preference", "facts", "instructions", "refusals", "forgetting", "memorisation"
    }  # fmt: skip
    assert {"preference/win_rate", "preference/reward"} <= names(found)
    assert "forgetting/sums/accuracy" in names(found)


def test_the_rows_decide_what_is_measured(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "answer": "yes"} for i in range(9)]
    found = measurable_results(settings(written(tmp_path / "q.jsonl", list(rows))), MODELS)
    assert {each.suite for each in found} == {SUITE}
    accuracy = next(each for each in found if each.name == "accuracy")
    assert (accuracy.count, accuracy.too_few) == (9, 9)
    with pytest.raises(InputError, match="no row for the suite refusals"):
        measurable_results(settings(tmp_path / "q.jsonl", suite=("refusals",)), MODELS)


@pytest.mark.parametrize(
    ("judge", "measured"),
    [
        (None, set()),
        ("votes:v.jsonl", {"win_rate"}),
        ("http://localhost:9/v1", {"win_rate"}),
        ("runs/rm", {"win_rate", "reward"}),
    ],
)
def test_the_judge_decides_what_is_measured_of_answers(
    judge: str | None, measured: set[str], tmp_path: Path
) -> None:
    rows = written(tmp_path / "p.jsonl", [{"prompt": f"{i}?"} for i in range(30)])
    found = measurable_results(settings(rows, judge=judge), MODELS)
    assert {each.name for each in found} & {"win_rate", "reward"} == measured

from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.results import (
    EvalResult,
    JudgeQuality,
    find_judge_quality,
    list_judges,
    read_results,
    write_results,
)

SOME = [
    EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, 100, is_higher_better=True),
    EvalResult("preference", "ppo", "win_rate", None, note="no judge", against="sft"),
]


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_results(tmp_path) == []
    write_results(tmp_path, SOME)
    assert read_results(tmp_path) == SOME


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"results": [{"suite": "facts"}]}', "results.0.model: Field required"),
        ('{"results": [], "format": 99}', "has format 99"),
    ],
)
def test_an_invalid_file_is_rejected_with_its_location(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(tmp_path)


def test_the_quality_of_a_reward_model_is_that_of_its_run(tmp_path: Path) -> None:
    run = tmp_path / "rm"
    (run / "model").mkdir(parents=True)
    unknown = find_judge_quality(str(run))
    assert (unknown.verdict, unknown.is_fit) == ("not measured", True)
    assert unknown.detail == (
        "there is no results.json in the folder; copy it from the run of the reward model"
    )
    write_results(run, [])
    assert find_judge_quality(str(run / "model")).detail == (
        f"{run}/results.json has no results on held-out rankings; train with held-out rankings"
    )
    judge = JudgeQuality("rm", "not fit", "right on 46.7 % of 30 held-out pairs")
    write_results(run, [EvalResult("reward_health", "rm", "pair_accuracy", 0.467, judge=judge)])
    for name in (str(run), str(run / "model")):
        found = find_judge_quality(name)
        assert (found.name, found.verdict, found.is_fit) == (name, "not fit", False)
        assert found.text == f"judged by {name} (not fit: right on 46.7 % of 30 held-out pairs)"
    assert find_judge_quality("builtin:rm").verdict == "not measured"


def test_each_judge_is_listed_once_and_a_reward_model_is_not_its_own() -> None:
    judge = JudgeQuality("rm", "fit")
    results = [
        EvalResult("preference", "sft", "win_rate", 0.6, judge=judge),
        EvalResult("preference", "sft", "reward", 0.6, judge=judge),
        EvalResult("reward_health", "rm", "pair_accuracy", 0.6, judge=JudgeQuality("x")),
        EvalResult("facts", "sft", "accuracy", 0.6),
    ]
    assert list_judges(results) == [judge]

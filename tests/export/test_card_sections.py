"""Licence, data with hashes, evaluation and limits in the card of an export."""

from dataclasses import replace
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.export.card_sections import (
    evaluation_section,
    find_license,
    find_license_files,
    find_results,
    license_section,
    limits_section,
    training_section,
)
from upbring.runs.contract import Contract, TrainingFile, TrainingStage
from upbring.runs.results import EvalResult, write_results

CONTRACT = Contract(
    base="base",
    base_sha256="beef",
    tokenizer="",
    template=None,
    stops=(),
    bos=None,
    eos=None,
    kind="sft",
    tune="lora",
    history=(
        TrainingStage("sft", (TrainingFile("/srv/chat.jsonl", "abc", 1200),), "", 30),
        TrainingStage("dpo", (), "", 4),
    ),
)
ACCURACY = EvalResult("facts", "runs/a", "accuracy", 0.8, low=0.7, high=0.9, count=60)


def test_the_licence_is_that_of_the_first_base_whose_card_names_one(tmp_path: Path) -> None:
    for name, text in (("a", "---\nlanguage: en\n---\n"), ("b", "---\nlicense: mit\n---\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(text)
    (tmp_path / "b" / "LICENSE.txt").write_text("MIT")
    bases = [tmp_path / name for name in ("none", "a", "b")]
    assert find_license(bases) == {"license": "mit"}
    assert find_license(bases[:2]) == {}
    files = find_license_files(tmp_path / "b")
    text = license_section({"license": "mit"}, files, "base")
    assert "base, has the licence mit, according to its model card. Its terms are in LIC" in text
    assert "names no licence. Find out which terms apply" in license_section({}, [], "base")


def test_each_stage_has_its_data_and_their_hashes() -> None:
    assert training_section(CONTRACT).splitlines()[2:] == [
        "| stage | steps | data | rows | sha256 |",
        "|---|---|---|---|---|",
        "| 1. sft | 30 | chat.jsonl | 1,200 | `abc` |",
        "| 2. dpo | 4 | | | |",
        "",
        "The base's weights have the hash `beef`.",
    ]


def test_the_evaluation_is_a_table_with_intervals() -> None:
    other = replace(ACCURACY, name="win_rate", against="/srv/runs/b", low=None)
    unmeasured = replace(ACCURACY, value=None)
    assert evaluation_section([ACCURACY, other, unmeasured]).splitlines()[4:] == [
        "| facts | accuracy | 80.0 % | 70.0 % to 90.0 % | 60 |",
        "| facts | win_rate against b | 80.0 % |  | 60 |",
    ]
    assert evaluation_section([unmeasured]) == ""


def test_the_results_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "a" / "model"
    run.mkdir(parents=True)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "mine").mkdir()
    health = replace(ACCURACY, suite="reward_health")
    write_results(tmp_path / "evaluation", [ACCURACY, replace(ACCURACY, model="base"), health])
    write_results(tmp_path / "mine", [replace(ACCURACY, model="other")])
    assert find_results("runs/a", run, None) == [ACCURACY]
    assert find_results(str(tmp_path / "runs" / "a"), run, None) == [ACCURACY]
    assert find_results("runs/a", run, Path("evaluation")) == [ACCURACY]
    with pytest.raises(InputError, match="--evaluation: mine has no results of runs/a, only of ot"):
        find_results("runs/a", run, Path("mine"))


def test_the_stage_of_a_pipeline_has_the_results_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    result = replace(ACCURACY, model="dpo")
    write_results(tmp_path / "evaluation", [result, ACCURACY])
    assert find_results("x", tmp_path / "stages" / "dpo" / "model", None) == [result]


def test_limits_are_added_unless_the_card_of_the_run_has_them() -> None:
    assert [*limits_section(CONTRACT, "# a\n\n## Limits\n\n- one")] == []
    (policy,) = limits_section(CONTRACT, "# a")
    (reward,) = limits_section(replace(CONTRACT, kind="reward"), "")
    assert "false statements" in policy
    assert "preferences of its annotators" in reward

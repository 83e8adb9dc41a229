import json
import shutil
from pathlib import Path

import pytest

from tests.report.made import EVERY, MODELS, STEPS, make_pipeline, make_run, results, write_json
from upbring.errors import InputError
from upbring.report.read_folders import MAX_TEXT_LENGTH, file_stats, read_evidence
from upbring.report.run_data import BASE, Evidence
from upbring.runs.results import write_results
from upbring.runs.run_folder import Run


def test_a_pipeline_is_read_with_its_stages_in_order(evidence: Evidence) -> None:
    assert [stage.name for stage in evidence.stages] == ["sft", "reward", "dpo", "ppo"]
    assert evidence.models == MODELS
    assert evidence.title == "assistant"
    assert not evidence.read_errors
    ppo = evidence.stages[-1]
    assert ppo.inputs == {"model": "sft", "sft": "sft", "reward": "reward"}
    assert len(ppo.records) == STEPS + STEPS // EVERY + 1
    assert [gate.passed for gate in evidence.gates] == [True, False, None]
    assert len(evidence.results) == len(results())


def test_a_single_run_is_read_with_its_inputs(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "first", model="builtin:sprout")
    found = read_evidence([run.path])
    (stage,) = found.stages
    assert (stage.command, stage.status, stage.planned_steps) == ("sft", "finished", STEPS)
    assert stage.inputs == {"model": "builtin:sprout"}
    assert stage.num_weights
    assert stage.num_weights > 1e6
    assert found.models == ()


def test_a_folder_of_runs_is_read_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(tmp_path, "sft", name, model=BASE, steps=3)
    assert sorted(stage.name for stage in read_evidence([tmp_path]).stages) == ["a", "b"]


def test_an_evaluation_alone_is_read(tmp_path: Path) -> None:
    write_results(tmp_path, results())
    found = read_evidence([tmp_path])
    assert found.stages == ()
    assert found.models == MODELS  # the reward model is not compared with others


def test_running_and_interrupted_runs_are_distinguished(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "half", model=BASE, steps=10)
    with run.lock():
        assert read_evidence([run.path]).stages[0].status == "running"
    assert read_evidence([run.path]).stages[0].status == "interrupted"


def test_incomplete_last_lines_are_skipped_silently(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "torn", model=BASE, steps=5)
    whole = read_evidence([run.path]).stages[0].records
    with run.metrics_file.open("ab") as file:
        file.write(b'{"step": 6, "kind": "tr')
    with run.samples_file.open("wb") as file:
        file.write(b'{"step": 0, "prompt": "p", "response": "r"}\n{"step": 5, "pro')
    found = read_evidence([run.path])
    assert found.stages[0].records == whole
    assert len(found.stages[0].samples) == 1
    assert found.read_errors == ()


@pytest.mark.parametrize(
    "file", ["run.json", "settings.yaml", "environment.json", "data.json", "contract.json"]
)
@pytest.mark.parametrize("text", ["", "{nonsense", "[]", '{"files": 3}', "\x00", "null"])
def test_damaged_files_are_named_and_the_rest_is_read(tmp_path: Path, file: str, text: str) -> None:
    run = make_run(tmp_path, "sft", "hurt", model=BASE, steps=5)
    (run.path / file).write_text(text)
    found = read_evidence([run.path])
    assert len(found.stages[0].records) == 6
    if text in {"{nonsense", ""}:
        assert any(file in fault for fault in found.read_errors)


def test_records_before_a_damaged_line_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "hurt", model=BASE, steps=5)
    lines = run.metrics_file.read_bytes().splitlines(keepends=True)
    lines[3] = b"garbage\n"
    run.metrics_file.write_bytes(b"".join(lines))
    found = read_evidence([run.path])
    assert len(found.stages[0].records) == 3
    assert "metrics.jsonl:4: 'garbage\\n'" in found.read_errors[0]


def test_every_file_of_a_pipeline_may_be_missing(tmp_path: Path) -> None:
    whole = make_pipeline(tmp_path / "whole")
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        pipeline = tmp_path / "part"
        shutil.copytree(whole, pipeline)
        (pipeline / file).unlink()
        assert read_evidence([pipeline]).stages
        shutil.rmtree(pipeline)


def test_damaged_results_do_not_hide_the_stages(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path / "pipeline")
    (pipeline / "evaluation" / "results.json").write_text(
        '{"format": 1, "results": [{"suite": 1}]}'
    )
    (pipeline / "evaluation" / "answers.jsonl").write_text("[1]\n")
    (pipeline / "gates.json").write_text('{"a": 1}')
    (pipeline / "recipe.json").write_text("!")
    found = read_evidence([pipeline])
    assert len(found.stages) == 4
    assert len(found.read_errors) == 3


def test_a_stage_that_has_not_started_is_listed(tmp_path: Path) -> None:
    stage = {"name": "ppo", "method": "ppo", "inputs": {}, "run": "gone", "status": "to do"}
    write_json(tmp_path / "recipe.json", {"status": "running", "stages": [stage, 7]})
    (found,) = read_evidence([tmp_path]).stages
    assert (found.name, found.status, found.is_training) == ("ppo", "to do", False)


def test_unknown_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no run, pipeline or evaluation"):
        read_evidence([tmp_path])
    (tmp_path / "assistant").mkdir()
    with pytest.raises(InputError, match=r"no such folder; did you mean .*assistant\?"):
        read_evidence([tmp_path / "asistant"])


def test_huge_responses_are_truncated_and_dialogues_are_text(tmp_path: Path) -> None:
    write_results(tmp_path, results())
    rows = [
        {"suite": "s", "model": "m", "prompt": [{"role": "user", "content": "hi"}],
         "response": "x" * 10**6, "verdicts": {"right": True, "unknown": None}},
        {"prompt": None, "verdicts": 3},
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "answers.jsonl").write_text(text)
    first, second = read_evidence([tmp_path]).answers
    assert first.prompt == "user: hi"
    assert first.verdicts == {"right": 1.0}
    assert len(first.response) < MAX_TEXT_LENGTH + 50
    assert first.response.endswith("(truncated, 1,000,000 characters)")
    assert (second.suite, second.prompt, second.verdicts) == ("?", "", {})


def test_growing_files_change_the_file_stats(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path / "pipeline")
    before = file_stats([pipeline])
    assert before == file_stats([pipeline])
    assert len(before) == 4 * 2 + 4  # run.json and metrics of each stage; and the pipeline's own
    with (pipeline / "stages" / "ppo" / "metrics.jsonl").open("ab") as file:
        file.write(b"{}\n")
    assert file_stats([pipeline]) != before
    assert file_stats([tmp_path / "nowhere"]) == ()


def test_a_run_is_read_through_a_symlink(tmp_path: Path) -> None:
    run = Run.open(make_run(tmp_path / "runs", "sft", "real", model=BASE, steps=2).path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "sft").symlink_to(run.path)
    stage = {
        "name": "sft",
        "method": "sft",
        "inputs": {},
        "run": str(run.path),
        "status": "running",
    }
    write_json(tmp_path / "recipe.json", {"status": "running", "stages": [stage]})
    (found,) = read_evidence([tmp_path]).stages
    assert len(found.records) == 3


def test_several_reward_models_are_listed_without_their_weights(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_run(tmp_path, "reward", name, model=BASE, steps=1)
    run = make_run(tmp_path, "ppo", "ppo", model=BASE, steps=1)
    rewards = f"[{tmp_path}/first, {tmp_path}/second=0.5]"
    run.settings_file.write_text(
        f"ppo:\n  model: base\n  reward_model: {rewards}\n  judge: far/off\n"
    )
    found = {stage.name: stage.inputs for stage in read_evidence([tmp_path]).stages}
    wanted = {
        "model": "base",
        "reward_model": "first",
        "reward_model 2": "second",
        "judge": "far/off",
    }
    assert found["ppo"] == wanted


def test_inputs_are_resolved_from_the_start_directory_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs"), "sft", "first", model=BASE, steps=1)
    make_run(Path("runs"), "dpo", "second", model="runs/first", steps=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = {stage.name: stage.inputs for stage in read_evidence([tmp_path / "runs"]).stages}
    assert found["second"] == {"model": "first"}

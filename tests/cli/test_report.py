from pathlib import Path

from tests.commands import done, upbring
from tests.report.made import make_pipeline, make_run


def test_the_report_is_in_the_folder_and_its_verdict_is_printed(tmp_path: Path) -> None:
    make_pipeline(tmp_path / "pipeline")
    output = done(tmp_path, "report", "pipeline").out
    assert output.splitlines() == [
        "Do not deploy this model: 1 of 3 gates failed (over_refusal).",
        "pipeline/report.html: the report; report.json beside it has every number",
    ]
    assert (tmp_path / "pipeline" / "report.html").is_file()


def test_several_folders_make_one_report_wherever_it_is_wanted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / "runs", "sft", name, model="base", steps=4)
    done(tmp_path, "report", "runs/a", "runs/b", "--to", "out/deep")
    text = (tmp_path / "out" / "deep" / "report.html").read_text(encoding="utf-8")
    assert "<h1>a, b</h1>" in text


def test_skipped_files_are_reported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "sft", "a", model="base", steps=4)
    run.contract_file.write_text("{")
    output = done(tmp_path, "report", "runs/a").out
    assert "skipped: runs/a/contract.json:" in output


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    answer = upbring(tmp_path, "report", "nowhere")
    assert answer.code == 2
    assert answer.err == "nowhere: no such folder; see `upbring runs`\n"

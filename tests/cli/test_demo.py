from pathlib import Path

from tests.road import upbring

QUICK = ("--steps", "1", "--threads", "1")


def test_the_demo_takes_the_whole_road_by_its_recipe(tmp_path: Path) -> None:
    told = upbring(tmp_path, "demo", *QUICK)
    assert told.code in {0, 6}, told.err  # a step changes nothing, and gates may say so
    for name in ("sft", "dpo", "ppo"):
        assert f"{name} answers:" in told.err
        assert (tmp_path / "demo" / "road" / "stages" / name / "model").is_dir()
    assert "report: demo/road/report.html" in told.err
    assert "talk with it: upbring chat demo/road/stages/" in told.err
    again = upbring(tmp_path, "demo", *QUICK)
    assert "ppo: finished before, kept" in again.err


def test_a_folder_that_is_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    answer = upbring(tmp_path, "demo", *QUICK)
    assert answer.code == 2
    assert "demo: exists already; remove it, or choose another with --to" in answer.err

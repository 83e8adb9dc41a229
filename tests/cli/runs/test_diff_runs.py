from pathlib import Path

from tests.commands import done, upbring
from upbring.runs.run_folder import Run


def make(runs: Path, name: str, rate: str) -> None:
    Run.create(runs, "sft", name=name, settings=f"sft:\n  model: m\n  learning_rate: {rate}\n")


def test_each_section_that_differs_is_a_table(tmp_path: Path) -> None:
    make(tmp_path / "runs", "a [red]", "1e-4")
    make(tmp_path / "runs", "b", "2e-4")
    out = done(tmp_path, "runs", "diff", "runs/a [red]", "runs/b").out
    assert [line.split() for line in out.splitlines()] == [
        ["settings", "a", "[red]", "b"],
        ["learning_rate", "1e-4", "2e-4"],
        [],
    ]


def test_equal_runs_and_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path / "x", "a", "1e-4")
    make(tmp_path / "y", "a", "2e-4")
    out = done(tmp_path, "runs-diff", "x/a", "y/a").out
    assert out.splitlines()[0].split() == ["settings", "x/a", "y/a"]
    assert done(tmp_path, "runs", "diff", "x/a", "x/a").out == "x/a and x/a: nothing differs\n"


def test_two_runs_are_required(tmp_path: Path) -> None:
    make(tmp_path / "runs", "a", "1e-4")
    for words, message in (
        (("runs/a",), "give two"),
        (("runs/a",) * 3, "runs diff: 3 runs given; give two"),
        (("runs/a", "runs/none"), "runs/none: does not exist"),
    ):
        answer = upbring(tmp_path, "runs", "diff", *words)
        assert answer.code == 2
        assert message in answer.err

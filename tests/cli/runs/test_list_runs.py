from pathlib import Path

from tests.commands import done
from upbring.runs.metrics import MetricsFile
from upbring.runs.run_folder import Run


def make(runs: Path, name: str, *, steps: int | None, taken: int) -> Run:
    run = Run.create(runs, "sft", name=name)
    if steps is not None:
        run.set_num_steps(steps)
    with MetricsFile(run.metrics_file) as metrics:
        for step in range(1, taken + 1):
            metrics.write(step, {"loss": 1 / step})
    return run


def test_each_run_has_a_line_with_its_state(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make(runs, "first", steps=4, taken=4).mark_finished()
    make(runs, "second", steps=8, taken=2)
    make(runs, "unevaluated", steps=8, taken=8)
    at_work = make(runs, "third [red]", steps=None, taken=0)
    with at_work.lock():
        text = done(tmp_path, "runs").out
    head, *rest = [line.split() for line in text.splitlines()]
    assert head == ["run", "status", "steps", "loss", "started"]
    assert rest[0][:4] == ["first", "finished", "4/4", "0.2500"]
    assert rest[1][:4] == ["second", "interrupted", "2/8", "0.5000"]
    assert rest[2][:5] == ["unevaluated", "interrupted", "8/8,", "evaluation", "pending"]
    assert rest[3][:4] == ["third", "[red]", "running", "0/?"]


def test_without_runs_the_command_that_starts_one_is_printed(tmp_path: Path) -> None:
    assert done(tmp_path, "runs").out == (
        "runs: no runs yet; start one with `upbring sft`, or list another folder with "
        "`upbring runs FOLDER`\n"
    )
    words = ("runs", "--runs", "else[where]")
    assert done(tmp_path, *words).out.startswith("else[where]: no runs yet")


def test_runs_of_pipelines_have_the_name_that_other_commands_take(tmp_path: Path) -> None:
    make(tmp_path / "runs" / "assistant" / "stages", "sft", steps=4, taken=4).mark_finished()
    text = done(tmp_path, "runs").out
    assert text.splitlines()[1].split()[:3] == ["assistant/stages/sft", "finished", "4/4"]

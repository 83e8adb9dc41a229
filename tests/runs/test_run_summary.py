from pathlib import Path

from upbring.runs.metrics import MetricsFile
from upbring.runs.run_folder import Run
from upbring.runs.run_summary import summarize_runs


def test_the_list_contains_the_status_of_each_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    run = Run.create(tmp_path, "sft")
    Run.create(tmp_path, "pretrain")
    run.set_num_steps(300)
    with MetricsFile(run.metrics_file) as metrics:
        metrics.write(120, {"loss": 1.5})
        metrics.write(120, {"loss": 9.0}, kind="held_out")
    first, second = summarize_runs(tmp_path)
    assert (first.name, first.method, first.status) == ("sft-1", "sft", "interrupted")
    assert (first.step, first.steps, first.loss) == (120, 300, 1.5)
    assert (second.step, second.steps, second.loss) == (0, None, None)
    assert first.started_at <= second.started_at
    assert summarize_runs(tmp_path / "nowhere") == []

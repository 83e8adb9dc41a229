import io
from pathlib import Path

from rich.console import Console

from upbring.runs.metrics import read_lines, read_metrics
from upbring.runs.run_folder import Run
from upbring.train.algorithm import EvalSample, Evaluation
from upbring.train.checkpoint import State, saved_steps
from upbring.train.progress import Progress
from upbring.train.run_log import DiskRunLog, NullRunLog


def journal(tmp_path: Path, console: Console) -> DiskRunLog:
    run = Run.create(tmp_path, "sft")
    return DiskRunLog(run, Progress(4, console=console), {"data": "x"}, 2, lambda _: None)


def test_what_is_told_is_written_and_shown(tmp_path: Path) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    seen = Evaluation(
        {"nll": 1.5}, 1.5, (EvalSample("Hello?\n", "Yes."), EvalSample("And?", "No."))
    )
    with journal(tmp_path, console) as kept:
        kept.log_step(1, {"loss": 2.0}, tokens=10, seconds=0.5)
        kept.log_evaluation(1, seen, is_best=True, is_last=False)
        kept.save_checkpoint(State(1, {}), protect={1})
        kept.log_step(2, {"loss": 1.0}, tokens=10, seconds=0.5)
        kept.truncate(1)
    records = read_metrics(kept.run.metrics_file)
    assert [(r.step, r.kind) for r in records] == [(1, "train"), (1, "held_out")]
    samples = [value for _, value in read_lines(kept.run.samples_file)]
    assert [s["response"] for s in samples] == ["Yes.", "No."]
    assert saved_steps(kept.run.checkpoints) == [1]
    text = console.export_text()
    assert "held out nll 1.5 (best so far)" in text
    assert "Hello? → Yes." in text
    assert "And?" not in text  # all samples are shown at the end alone


def test_a_mute_journal_writes_nothing(tmp_path: Path) -> None:
    mute = NullRunLog()
    mute.log_step(1, {}, tokens=1, seconds=1)
    mute.log_evaluation(1, Evaluation(), is_best=False, is_last=True)
    mute.save_checkpoint(State(1, {}), protect=())
    mute.truncate(0)
    assert not list(tmp_path.iterdir())

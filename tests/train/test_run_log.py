import io
from pathlib import Path

from rich.console import Console

from upbring.runs.metrics import read_lines, read_metrics
from upbring.runs.run_folder import Run
from upbring.train.algorithm import EvalSample, Evaluation
from upbring.train.callbacks import Callbacks
from upbring.train.checkpoint import State, saved_steps
from upbring.train.progress import Progress
from upbring.train.run_log import DiskRunLog, NullRunLog


def make_run_log(tmp_path: Path, console: Console) -> DiskRunLog:
    run, callbacks = Run.create(tmp_path, "sft"), Callbacks((), print)
    progress = Progress(4, console=console)
    return DiskRunLog(run, progress, {"data": "x"}, 2, lambda _: None, callbacks)


def test_events_are_written_and_printed(tmp_path: Path) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    evaluation = Evaluation(
        {"nll": 1.5}, 1.5, (EvalSample("Hello?\n", "Yes."), EvalSample("And?", "No."))
    )
    with make_run_log(tmp_path, console) as run_log:
        run_log.log_step(1, {"loss": 2.0}, tokens=10, seconds=0.5)
        run_log.log_evaluation(1, evaluation, is_best=True, is_last=False)
        run_log.save_checkpoint(State(1, {}), protect={1})
        run_log.log_step(2, {"loss": 1.0}, tokens=10, seconds=0.5)
        run_log.truncate(1)
    records = read_metrics(run_log.run.metrics_file)
    assert [(r.step, r.kind) for r in records] == [(1, "train"), (1, "held_out")]
    samples = [value for _, value in read_lines(run_log.run.samples_file)]
    assert [s["response"] for s in samples] == ["Yes.", "No."]
    assert saved_steps(run_log.run.checkpoints) == [1]
    text = console.export_text()
    assert "held-out nll 1.5 (best so far)" in text
    assert "Hello? → Yes." in text
    assert "And?" not in text  # all samples are shown only at the last step


def test_a_null_run_log_writes_nothing(tmp_path: Path) -> None:
    null = NullRunLog()
    null.log_step(1, {}, tokens=1, seconds=1)
    null.log_evaluation(1, Evaluation(), is_best=False, is_last=True)
    null.save_checkpoint(State(1, {}), protect=())
    null.truncate(0)
    assert not list(tmp_path.iterdir())

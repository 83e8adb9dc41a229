import io
from pathlib import Path

from rich.console import Console

from upbring.runs.metrics import read_lines, read_metrics
from upbring.runs.run_folder import Run
from upbring.train.algorithm import EvalSample, Evaluation
from upbring.train.callbacks import Callbacks
from upbring.train.checkpoint import State, saved_steps
from upbring.train.progress import Progress
from upbring.train.run_log import DiskRunLog, NullRunLog, format_evaluation


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
    assert "held-out nll 1.5 (best)" in text
    assert "Hello?" not in text  # samples are shown only at the last step


def test_a_null_run_log_writes_nothing(tmp_path: Path) -> None:
    null = NullRunLog()
    null.log_step(1, {}, tokens=1, seconds=1)
    null.log_evaluation(1, Evaluation(), is_best=False, is_last=True)
    null.save_checkpoint(State(1, {}), protect=())
    null.truncate(0)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_is_a_line_and_the_last_one_shows_samples_that_fit() -> None:
    samples = (EvalSample("Which color is " + "very " * 40 + "red?", "It is red. " * 20),)
    evaluation = Evaluation({"nll": 1.5}, 1.5, samples)
    (line,) = format_evaluation(2, evaluation, is_best=True, is_last=False, width=80)
    assert line == "step 2: held-out nll 1.5 (best)"
    last, sample = format_evaluation(4, evaluation, is_best=False, is_last=True, width=80)
    assert last == "step 4: held-out nll 1.5"
    assert 70 < len(sample) <= 80
    assert sample.startswith("  …")
    assert " → It is red." in sample


def test_an_evaluation_without_numbers_prints_no_bare_step() -> None:
    evaluation = Evaluation({}, None, (EvalSample("Hello?", "Yes."),))
    assert not list(format_evaluation(0, evaluation, is_best=False, is_last=False, width=80))
    (sample,) = format_evaluation(4, evaluation, is_best=False, is_last=True, width=80)
    assert sample == "  Hello? → Yes."


def test_a_narrow_terminal_loses_the_last_metrics() -> None:
    evaluation = Evaluation({"nll": 1.23456, "accuracy": 0.51234, "margin": 0.123456}, 1.5)
    wide, cut = (
        list(format_evaluation(2, evaluation, is_best=True, is_last=False, width=width))
        for width in (None, 50)
    )
    assert wide == ["step 2: held-out nll 1.235, accuracy 0.512, margin 0.123 (best)"]
    assert cut == ["step 2: held-out nll 1.235, accuracy 0.512 (best)"]


def test_a_standard_error_is_shown_behind_its_value() -> None:
    values = {"reward": 1.0, "gain": 0.25, "gain_error": 0.1, "error": 0.3}
    evaluation = Evaluation(values, criterion=0.0)
    (line,) = format_evaluation(2, evaluation, is_best=False, is_last=False, width=80)
    assert line == "step 2: held-out reward 1, gain 0.25 ± 0.1"

"""Callbacks: when they are called, and what their errors do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from upbring.errors import FunctionError, Interrupted
from upbring.runs.callback import Callback, RunStart
from upbring.train.callbacks import Callbacks

START = RunStart(Path("runs/a"), "sft", {"seed": 0}, steps=4, step=0)


class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def on_start(self, run: RunStart) -> None:
        self.seen.append(("start", run.step))

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: str) -> None:
        self.seen.append((kind, step, dict(metrics)))
        assert isinstance(metrics, dict)
        metrics.clear()

    def on_end(self, status: str) -> None:
        self.seen.append(("end", status))


class Failing(Callback):
    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: str) -> None:
        raise ValueError(f"{step} {kind} {len(metrics)}")


def _run_one_step(callbacks: Callbacks, step: int, error: Exception | None = None) -> None:
    with callbacks.reporting_end():
        callbacks.start(START)
        if error is not None:
            raise error
        callbacks.add_metrics(step, {"loss": 1.0}, "train")
        callbacks.call_pending()


def test_each_callback_is_told_everything_in_order_between_the_steps() -> None:
    first, second = Recorder(), Recorder()
    callbacks = Callbacks((first, second), print)
    with callbacks.reporting_end():
        callbacks.start(START)
        callbacks.add_metrics(1, {"loss": 2.0}, "train")
        callbacks.add_metrics(1, {"nll": 3.0}, "held_out")
        assert first.seen == [("start", 0)]
        callbacks.call_pending()
        callbacks.call_pending()
    assert first.seen == second.seen
    assert first.seen[1:] == [
        ("train", 1, {"loss": 2.0}),
        ("held_out", 1, {"nll": 3.0}),
        ("end", "finished"),
    ]


def test_an_error_names_the_callback_and_the_step_after_the_others_were_called() -> None:
    recorder = Recorder()
    callbacks = Callbacks((Failing(), recorder), print)
    told = r"Failing.on_metrics: raised ValueError: 3 train 1 at test_callbacks.py:\d+, at step 3; "
    with pytest.raises(FunctionError, match=told):
        _run_one_step(callbacks, 3)
    assert recorder.seen[1:] == [("train", 3, {"loss": 1.0}), ("end", "failed")]


def test_an_interruption_is_an_end_of_its_own_and_an_early_error_none() -> None:
    recorder = Recorder()
    callbacks = Callbacks((recorder,), print)
    with pytest.raises(Interrupted):
        _run_one_step(callbacks, 1, error=Interrupted("stop"))
    assert recorder.seen[-1] == ("end", "interrupted")
    silent = Recorder()
    with pytest.raises(FunctionError), Callbacks((silent,), print).reporting_end():
        raise FunctionError("before the start")
    assert silent.seen == []


def test_an_object_without_a_method_is_not_called() -> None:
    class Ends:
        status = ""

        def on_end(self, status: str) -> None:
            self.status = status

    ends: Any = Ends()
    callbacks = Callbacks((ends,), print)
    with callbacks.reporting_end():
        callbacks.start(START)
        callbacks.add_samples(1, [{"prompt": "?", "response": "!"}])
        callbacks.call_pending()
    assert ends.status == "finished"

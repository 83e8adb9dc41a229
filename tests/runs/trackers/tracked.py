"""A run that is interrupted after step 2 and resumed at step 2, told to a tracker."""

import time
from collections.abc import Callable
from pathlib import Path

from upbring.durable import JSON
from upbring.runs.callback import Callback, RunStart

SETTINGS: dict[str, JSON] = {"model": "m", "learning_rate": 0.1, "data": ["d.jsonl"]}
# What a tracker has at the end, with transformers' groups.
TRAIN = {1: {"loss": 3.0, "grad_norm": 1.0}, 2: {"loss": 2.5, "grad_norm": 0.5}, 3: {"loss": 2.0}}
EVAL = {2: {"loss": 2.75, "nll": 2.75}}
SAMPLE: dict[str, JSON] = {"prompt": "?", "response": "# !", "reward": 0.5, "tokens": ["# !"]}


def track(make: Callable[[], Callback], folder: Path) -> RunStart:
    """Tell two trackers, as of two processes, the parts of the run."""
    path = folder / "sft-1"
    path.mkdir(parents=True)
    start = RunStart(path, "sft", SETTINGS, steps=3, step=0, started_at="2026-01-01")
    first = make()
    first.on_start(start)
    first.on_metrics(1, {"loss": 3.0, "gradient_norm": 1.0}, "train")
    first.on_metrics(2, {"loss": 2.5, "gradient_norm": 0.5}, "train")
    first.on_metrics(2, {"nll": 2.75}, "held_out")
    first.on_samples(2, [SAMPLE])
    first.on_end("interrupted")
    time.sleep(1.1)  # W&B names a folder after the second
    second = make()
    second.on_start(RunStart(path, "sft", SETTINGS, steps=3, step=2, started_at="2026-01-01"))
    second.on_metrics(3, {"loss": 2.0}, "train")
    second.on_end("finished")
    return start

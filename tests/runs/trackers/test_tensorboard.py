"""TensorBoard's own reader finds what was logged."""

from pathlib import Path

import pytest

from tests.runs.trackers.tracked import EVAL, TRAIN, track
from upbring.runs.callback import RunStart
from upbring.runs.trackers.make_trackers import make_trackers

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415 -- may be missing

    reader = event_accumulator.EventAccumulator(str(folder))
    reader.Reload()
    return {
        tag: {event.step: event.value for event in reader.Scalars(tag)}
        for tag in reader.Tags()["scalars"]
    }


def test_scalars_are_read_back(tmp_path: Path) -> None:
    track(lambda: make_trackers(["tensorboard"])[0], tmp_path)
    found = scalars(tmp_path / "sft-1" / "tensorboard")
    assert found["train/loss"] == {step: values["loss"] for step, values in TRAIN.items()}
    assert found["train/grad_norm"] == {1: 1.0, 2: 0.5}
    assert found["eval/loss"] == {step: values["loss"] for step, values in EVAL.items()}


def test_samples_are_read_back(tmp_path: Path) -> None:
    track(lambda: make_trackers(["tensorboard"])[0], tmp_path)
    from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415 -- may be missing

    reader = event_accumulator.EventAccumulator(str(tmp_path / "sft-1" / "tensorboard"))
    reader.Reload()
    (event,) = reader.Tensors("samples")
    assert event.step == 2
    assert b"    # !\n\nreward 0.5" in event.tensor_proto.string_val[0]


def test_what_a_killed_run_wrote_after_its_checkpoint_is_purged(tmp_path: Path) -> None:
    first, second = (make_trackers(["tensorboard"])[0] for _ in range(2))
    first.on_start(RunStart(tmp_path, "sft", {}, 3, 0))
    for step in (1, 2, 3):
        first.on_metrics(step, {"loss": float(step)}, "train")
    first.on_end("failed")
    second.on_start(RunStart(tmp_path, "sft", {}, 3, 1))
    second.on_metrics(2, {"loss": 20.0}, "train")
    second.on_end("finished")
    assert scalars(tmp_path / "tensorboard")["train/loss"] == {1: 1.0, 2: 20.0}

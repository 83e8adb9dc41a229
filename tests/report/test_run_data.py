from pathlib import Path

from upbring.report.run_data import Evidence, Stage
from upbring.runs.metrics import Record


def test_values_are_those_of_one_name_and_kind() -> None:
    records = (
        Record(1, "train", 0.0, {"loss": 2.0}),
        Record(1, "held_out", 0.0, {"nll": 3.0}),
        Record(2, "train", 0.0, {"loss": 1.5, "nll": 1.0}),
    )
    stage = Stage("sft", "sft", Path("x"), "running", records=records)
    assert stage.values("loss", "train") == [(1, 2.0), (2, 1.5)]
    assert stage.values("nll", "held_out") == [(1, 3.0)]
    assert stage.values("kl", "train") == []


def test_a_stage_that_learns_nothing_is_no_run() -> None:
    world = Stage("world", "nursery", Path("x"), "finished")
    taught = Stage("sft", "sft", Path("y"), "running", records=(Record(1, "train", 0.0, {}),))
    assert Evidence("road", (world, taught)).runs == (taught,)

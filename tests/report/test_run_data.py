from pathlib import Path

from upbring.report.run_data import Evidence, ReportedStage
from upbring.runs.metrics import MetricsRecord


def test_values_are_those_of_one_name_and_kind() -> None:
    records = (
        MetricsRecord(1, "train", 0.0, {"loss": 2.0}),
        MetricsRecord(1, "held_out", 0.0, {"nll": 3.0}),
        MetricsRecord(2, "train", 0.0, {"loss": 1.5, "nll": 1.0}),
    )
    stage = ReportedStage("sft", "sft", Path("x"), "running", records=records)
    assert stage.metric_series("loss", "train") == [(1, 2.0), (2, 1.5)]
    assert stage.metric_series("nll", "held_out") == [(1, 3.0)]
    assert stage.metric_series("kl", "train") == []


def test_a_stage_that_trains_nothing_is_no_training_stage() -> None:
    world = ReportedStage("world", "toyworld", Path("x"), "finished")
    taught = ReportedStage(
        "sft", "sft", Path("y"), "running", records=(MetricsRecord(1, "train", 0.0, {}),)
    )
    assert Evidence("pipeline", (world, taught)).training_stages == (taught,)

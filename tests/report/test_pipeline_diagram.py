from dataclasses import replace
from pathlib import Path

from upbring.report.pipeline_diagram import BOX_HEIGHT, BOX_WIDTH, pipeline_diagram
from upbring.report.run_data import Evidence, ReportedStage


def test_the_pipeline_goes_from_left_to_right(evidence: Evidence) -> None:
    drawn = pipeline_diagram(evidence)
    assert drawn is not None
    place = {box.name: (box.x, box.y) for box in drawn.boxes}
    assert place["base"][0] < place["sft"][0] < place["reward"][0] < place["ppo"][0]
    assert place["dpo"][0] == place["reward"][0]
    assert place["dpo"][1] > place["reward"][1]
    assert len(drawn.arrows) == 5  # base→sft→reward→ppo, sft→dpo, sft→ppo
    assert [arrow.label for arrow in drawn.arrows if arrow.label] == ["reward model"]


def test_boxes_show_the_numbers_of_the_run_and_fit(evidence: Evidence) -> None:
    drawn = pipeline_diagram(evidence)
    assert drawn is not None
    lines = {box.name: box.lines for box in drawn.boxes}
    assert lines["sft"] == (
        "trains on demonstrations",
        "1,000 rows",
        "120 steps, 58 k tokens",
        "loss 3.7 → 1.34",
    )
    assert lines["base"] == ("builtin:sprout", "pretrained model")
    assert "judge 0.2 → 0.55" in drawn.description
    for box in drawn.boxes:
        assert 0 <= box.x <= drawn.width - BOX_WIDTH
        assert 0 <= box.y <= drawn.height - BOX_HEIGHT


def test_no_two_boxes_overlap(evidence: Evidence) -> None:
    drawn = pipeline_diagram(evidence)
    assert drawn is not None
    places = [(box.x, box.y) for box in drawn.boxes]
    assert len(set(places)) == len(places)


def test_a_cycle_of_stages_is_drawn() -> None:
    stages = tuple(
        ReportedStage(name, "sft", Path(name), "to do", inputs={"model": other})
        for name, other in (("a", "b"), ("b", "a"), ("c", "c"))
    )
    drawn = pipeline_diagram(Evidence("t", stages))
    assert drawn is not None
    assert {"a", "b", "c"} <= {box.name for box in drawn.boxes}


def test_without_stages_there_is_no_diagram() -> None:
    assert pipeline_diagram(Evidence("t")) is None


def test_long_names_are_truncated() -> None:
    drawn = pipeline_diagram(
        Evidence("t", (ReportedStage("x" * 300, "y" * 300, Path("x"), "running"),))
    )
    assert drawn is not None
    assert all(len(text) < 30 for box in drawn.boxes for text in (box.name, *box.lines))


def test_a_data_stage_is_named_in_the_boxes_without_arrows(evidence: Evidence) -> None:
    world = ReportedStage("world", "toyworld", Path("world"), "finished")
    taught = tuple(
        replace(stage, inputs={**stage.inputs, "world": "world"}) for stage in evidence.stages
    )
    drawn = pipeline_diagram(replace(evidence, stages=(world, *taught)))
    assert drawn is not None
    assert len(drawn.arrows) == 5
    lines = {box.name: box.lines for box in drawn.boxes}
    assert "1,000 rows from world" in lines["sft"]
    assert lines["world"] == ("writes the toy dataset",)

import json
from pathlib import Path

import pytest

from tests import small
from upbring.pipeline.finish import judged, measure
from upbring.pipeline.runner import Road
from upbring.pipeline.spec import read_script

ROAD = """
model: m
defaults: {steps: 1, step_examples: 2, precision: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
evaluate: {data: q.jsonl, suite: facts, max_tokens: 4}
gates: {facts: "<= 1", sft.facts: ">= base + 0.9"}
"""


def test_a_road_ends_with_numbers_and_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(Path("m"))
    small.make_demonstrations(Path("d.jsonl"), 8)
    rows = [{"prompt": f"What is the {t} like?", "answer": "blue"} for t in small.THINGS]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("r.yaml").write_text(ROAD)
    road = Road(read_script(Path("r.yaml")), Path("road"), {}, lambda _: None)
    road.take()
    results = measure(road)
    assert {each.model for each in results} == {"base", "sft"}
    assert (Path("road/evaluation") / "results.json").is_file()
    first, second = judged(road, results)
    assert (first.model, first.passed) == ("sft", True)
    assert second.passed is False
    assert len(json.loads(Path("road/gates.json").read_text())) == 2


def test_without_an_evaluation_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text("model: m\nstages: {world: {verb: nursery}}\n")
    road = Road(read_script(Path("r.yaml")), Path("road"), {}, lambda _: None)
    assert measure(road) == []

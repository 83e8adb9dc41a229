import json
from pathlib import Path

import pytest

from tests import small
from upbring.pipeline.finish import check_gates, evaluate_models
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.runner import PipelineRunner

RECIPE = """
model: m
defaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
evaluate: {data: q.jsonl, suite: facts, max_tokens: 4}
gates: {facts: "<= 1", sft.facts: ">= base + 0.9"}
"""


def test_a_pipeline_ends_with_evaluation_results_and_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(Path("m"))
    small.make_demonstrations(Path("d.jsonl"), 8)
    rows = [
        {"prompt": f"What is the {thing} like{when}?", "answer": "blue"}
        for when in ("", " now", " then")
        for thing in small.THINGS
    ]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("r.yaml").write_text(RECIPE)
    runner = PipelineRunner(read_recipe(Path("r.yaml")), Path("out"), {}, lambda _: None)
    runner.run()
    results = evaluate_models(runner)
    assert {each.model for each in results} == {"base", "sft"}
    assert (Path("out/evaluation") / "results.json").is_file()
    first, second = check_gates(runner, results)
    assert (first.model, first.passed) == ("sft", True)
    assert second.passed is False
    assert len(json.loads(Path("out/gates.json").read_text())) == 2


def test_without_an_evaluation_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text("model: m\nstages: {world: {method: toyworld}}\n")
    runner = PipelineRunner(read_recipe(Path("r.yaml")), Path("out"), {}, lambda _: None)
    assert evaluate_models(runner) == []

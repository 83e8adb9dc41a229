import json
from pathlib import Path

import pytest

import upbring as ub

RECIPE = """
model: m
defaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
evaluate: {data: q.jsonl, suite: facts, max_tokens: 4, threads: 1}
gates: {facts: "<= 1"}
"""


@pytest.fixture
def recipe(home: Path) -> Path:
    (home / "d.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 8)
    rows = [{"prompt": f"What is {i}?", "answer": "x"} for i in range(24)]
    (home / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "short.yaml").write_text(RECIPE)
    return home / "short.yaml"


def test_a_recipe_returns_its_runs_its_numbers_and_its_gates(recipe: Path) -> None:
    assert ub.run(recipe, dry_run=True).stages == {}
    result = ub.run(recipe)
    assert list(result.stages) == ["sft"]
    assert result.stages["sft"].status == "finished"
    assert result.evaluation is not None
    assert result.evaluation.models == ("base", "sft")
    assert [gate.passed for gate in result.gates] == [True]
    assert result.report_path.is_file()
    assert result.waits_for == ""


def test_a_gate_that_does_not_pass_is_an_error(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('"<= 1"', '">= 1"'))
    with pytest.raises(ub.GateError, match=r"1 of 1 gate did not pass \(facts\)"):
        ub.run(recipe, to="strict")

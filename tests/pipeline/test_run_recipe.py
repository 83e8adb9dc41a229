import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests import small
from upbring.errors import GateError
from upbring.pipeline.recipe_folder import default_folder
from upbring.pipeline.run_recipe import PipelineOutcome, run_recipe

RECIPE = """
model: m
defaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
evaluate: {data: q.jsonl, suite: facts, max_tokens: 4, threads: 1}
gates: {facts: "<= 1"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl", 8)
    rows = [{"prompt": f"What is {i}?", "answer": "x"} for i in range(24)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "short.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_quietly(*, is_dry_run: bool = False) -> PipelineOutcome:
    recipe = Path("short.yaml")
    console = Console(file=io.StringIO())
    return run_recipe(recipe, default_folder(recipe), is_dry_run=is_dry_run, console=console)


@pytest.mark.usefixtures("home")
def test_the_outcome_has_the_numbers_and_the_gates() -> None:
    outcome = run_quietly()
    assert {(each.suite, each.model) for each in outcome.results} == {
        ("facts", "base"),
        ("facts", "sft"),
        ("contamination", "sft"),
    }
    assert [(gate.name, gate.passed) for gate in outcome.gates] == [("facts", True)]
    assert (default_folder(Path("short.yaml")) / "report.html").is_file()


@pytest.mark.usefixtures("home")
def test_a_dry_run_only_reads_the_recipe() -> None:
    outcome = run_quietly(is_dry_run=True)
    assert [stage.name for stage in outcome.recipe.stages] == ["sft"]
    assert outcome.results == ()
    assert not Path("runs").exists()


def test_a_gate_that_does_not_pass_is_an_error(home: Path) -> None:
    (home / "short.yaml").write_text(RECIPE.replace('"<= 1"', '">= 1"'))
    with pytest.raises(GateError, match=r"1 of 1 gate did not pass \(facts\)"):
        run_quietly()

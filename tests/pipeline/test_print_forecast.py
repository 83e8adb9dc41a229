import io
from pathlib import Path

import pytest
from rich.console import Console

from tests import small
from upbring.pipeline.print_forecast import forecast_recipe, print_forecast
from upbring.pipeline.recipe import read_recipe

RECIPE = """
model: m
defaults: {steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
"""


def test_a_stage_is_a_row_and_what_is_left_is_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl", 8)
    (tmp_path / "short.yaml").write_text(RECIPE)
    recipe, buffer = read_recipe(Path("short.yaml")), io.StringIO()
    forecasts = forecast_recipe(recipe, Path("out"))
    print_forecast(Console(file=buffer), recipe, Path("out"), forecasts)
    head, row, *rest = buffer.getvalue().splitlines()
    assert head.split() == ["stage", "method", "status", "time", "memory", "disk"]
    assert row.split()[:4] == ["sft", "sft", "to", "do"]
    assert any(line.startswith("to do: 1 of 1 stage, about ") for line in rest)
    assert not Path("out").exists()

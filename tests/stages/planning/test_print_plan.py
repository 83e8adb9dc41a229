import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests import small
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.plan import measure_time, plan
from upbring.stages.planning.print_plan import print_plan


def test_a_plan_that_does_not_fit_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl", 8)
    flags = {"model": "m", "data": ["d.jsonl"], "steps": 2, "threads": 1, "dtype": "float32"}
    resolved = resolve(SftSettings, section="sft", flags=flags)
    context = make_dry_run_context("sft", resolved, log=lambda _: None)
    made = plan(context, baseline=0)
    time = measure_time(context, made, max_seconds=0.1)
    texts = []
    for each in (made, replace(made, available_bytes=1)):
        buffer = io.StringIO()
        print_plan(Console(file=buffer), each, time)
        texts.append(buffer.getvalue())
    assert texts[0].count("trainable") == 1
    assert "time: about " in texts[0]
    assert "to make it fit" not in texts[0]
    assert "to make it fit, change in this order:" in texts[1]

from dataclasses import replace
from pathlib import Path

from tests.report.made import make_run
from upbring.report.costs import costs
from upbring.report.read_folders import read_evidence
from upbring.report.run_data import BASE, Evidence


def test_costs_are_sums_over_the_steps(evidence: Evidence) -> None:
    first = costs(evidence)[0]
    # 120 steps of 480 tokens and a quarter of a second; 3:04:05 to 3:05:45; 246,000 of 1,600,000
    assert (first.steps, first.planned_steps, first.tokens, first.seconds) == (
        120,
        120,
        57_600,
        30.0,
    )
    assert first.tokens_per_second == 1920.0
    assert first.wall_seconds == 100.0
    assert first.peak_memory_bytes == 6.1e8
    assert first.trainable_share == 0.15375


def test_unknown_costs_are_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "half", model=BASE, steps=0)
    run.environment_file.unlink()
    found = read_evidence([run.path])
    (cost,) = costs(found)
    assert (cost.steps, cost.tokens, cost.wall_seconds) == (0, 0, None)
    assert cost.tokens_per_second is cost.peak_memory_bytes is cost.trainable_share is None
    odd = replace(found.stages[0], started_at="yesterday", finished_at="today")
    assert costs(replace(found, stages=(odd,)))[0].wall_seconds is None

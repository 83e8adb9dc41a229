from pathlib import Path

from tests.commands import upbring
from upbring.cli.demo import demo_recipe
from upbring.runs.metrics import read_metrics
from upbring.settings.commands.demo import DemoSettings

STEPS = 2
QUICK = ("--steps", str(STEPS), "--threads", "1")
TRAINING_STAGES = ("sft", "reward", "ppo", "dpo")


def test_the_demo_runs_the_full_pipeline_with_the_given_steps(tmp_path: Path) -> None:
    first = upbring(tmp_path, "demo", *QUICK)
    assert first.code in {0, 6}, first.err  # so few steps may not pass the gates
    stages = tmp_path / "demo" / "pipeline" / "stages"
    for name in TRAINING_STAGES:
        assert (stages / name / "model").is_dir()
        records = read_metrics(stages / name / "metrics.jsonl")
        assert [r.step for r in records if r.kind == "train"] == list(range(1, STEPS + 1)), name
    for name in ("sft", "dpo", "ppo"):
        assert f"{name} answers:" in first.err
    assert "report: demo/pipeline/report.html" in first.err
    assert "upbring chat demo/pipeline/stages/" in first.err
    again = upbring(tmp_path, "demo", *QUICK)
    assert "ppo: finished before, kept" in again.err


def test_without_flags_the_recipe_keeps_its_comments() -> None:
    assert demo_recipe(DemoSettings()).startswith("# The full pipeline")
    assert "steps: 32" in demo_recipe(DemoSettings())
    assert "steps: 32" in demo_recipe(DemoSettings(threads=1))


def test_a_folder_that_is_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    answer = upbring(tmp_path, "demo", *QUICK)
    assert answer.code == 2
    assert "demo: exists already; remove it, or choose another with --to" in answer.err

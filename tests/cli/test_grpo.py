"""`upbring grpo` from the command line."""

from pathlib import Path

from tests.commands import QUICK, curve, done, prepare

GRPO = ("grpo", "d.jsonl", "--model", "m", *QUICK, "--max-response-length", "5")


def test_it_learns_from_a_rule_and_resumes_after_a_stop(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    words = ("--rule", "is_one_sentence", "--num-generations", "2", "--eval-prompts", "2")
    answer = done(folder, *GRPO, *words)
    assert "verdict: " in answer.err
    steps = [line for line in curve(folder / "runs/grpo-1") if line["kind"] == "train"]
    assert len(steps) == 6
    assert {"policy", "divergence", "reward", "kl", "clip_fraction"} <= steps[0].keys()
    assert "value" not in steps[0]

"""`upbring rloo` from the command line."""

from pathlib import Path

from tests.commands import QUICK, curve, done, prepare
from tests.rewarded import make_reward

RLOO = ("rloo", "d.jsonl", "--model", "m", *QUICK, "--max-response-length", "5")


def test_it_learns_from_a_reward_model(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    make_reward(folder / "m", folder / "r")
    answer = done(
        folder, *RLOO, "--reward-model", "r", "--num-generations", "2", "--eval-prompts", "2"
    )
    assert "verdict: " in answer.err
    steps = [line for line in curve(folder / "runs/rloo-1") if line["kind"] == "train"]
    assert len(steps) == 6
    assert {"policy", "reward", "kl"} <= steps[0].keys()
    assert not {"value", "divergence"} & steps[0].keys()

"""`upbring reward` and what it prints at the end."""

from pathlib import Path

from tests.commands import done, prepare
from tests.rankings import QUICK_REWARD, make_rankings


def test_it_ends_with_a_verdict_and_what_to_do_next(tmp_path: Path) -> None:
    prepare(tmp_path)
    make_rankings(tmp_path / "r.jsonl")
    output = done(tmp_path, "reward", "r.jsonl", "--model", "m", *QUICK_REWARD).err
    assert output.splitlines()[-2:] == [
        "runs/reward-1: finished; the model is in runs/reward-1/model",
        "try `upbring score FILE --model runs/reward-1`",
    ]
    verdict = output.index("\nreward model: ")
    assert " for PPO\n" in output[verdict:]
    assert "\n  pair_accuracy " in output[verdict:]
    card = (tmp_path / "runs" / "reward-1" / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "It reflects the preferences of its annotators" in card

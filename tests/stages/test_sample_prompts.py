"""The fixed prompts of a run."""

import json
from pathlib import Path

from tests.commands import SFT, curve, upbring


def test_held_out_numbers_and_samples_are_written_at_each_evaluation(run: Path) -> None:
    held = [r for r in curve(run) if r["kind"] == "held_out"]
    assert [r["step"] for r in held] == [0, 3, 6]  # 0: before training
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert [s["step"] for s in samples] == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert all("### User" in s["prompt"] for s in samples)
    assert samples[0]["prompt"] == samples[3]["prompt"]


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(home: Path) -> None:
    words = ("--sample-prompts", "cold " * 300)
    answer = upbring(home, *SFT, "--name", "long", *words)
    assert answer.code == 2
    assert "sample_prompts:" in answer.err
    assert "the model has room for 1 to 252" in answer.err

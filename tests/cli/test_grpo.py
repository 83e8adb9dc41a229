"""`upbring grpo` from the command line."""

import json
from pathlib import Path

import pytest

from tests.commands import QUICK, curve, done, hashes, prepare, upbring

GRPO = ("grpo", "d.jsonl", "--model", "m", *QUICK, "--max-response-length", "5")


def test_it_learns_from_a_rule_and_resumes_after_a_stop(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    words = ("--reward-function", "one_sentence", "--num-generations", "2", "--eval-prompts", "2")
    answer = done(folder, *GRPO, *words)
    assert "verdict: " in answer.err
    assert "no prompt is held out" not in answer.err
    nothing = ("--held-out-share", "0", "--steps", "1", "--name", "no-held-out")
    told = "no prompt is held out: held-out numbers are measured on training prompts"
    assert told in done(folder, *GRPO, *words, *nothing).err
    steps = [line for line in curve(folder / "runs/grpo-1") if line["kind"] == "train"]
    assert len(steps) == 6
    assert {"policy", "divergence", "reward", "kl", "clip_fraction"} <= steps[0].keys()
    assert "value" not in steps[0]


MATH = ("grpo", "math.jsonl", "--model", "m", *QUICK, "--max-response-length", "5")
CODE = """
def short(prompt, response, row):
    assert prompt == row["question"]
    return -len(response) / 100
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows as in GSM8K and reward functions."""
    folder = prepare(tmp_path_factory.mktemp("home"))
    rows = [
        {
            "question": f"What is {n} plus 2?",
            "answer": f"{n} + 2 = <<{n}+2={n + 2}>>\\n#### {n + 2}",
        }
        for n in range(20)
    ]
    (folder / "math.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rewards.py").write_text(CODE)
    return folder


def test_rules_and_functions_read_the_row(home: Path) -> None:
    words = ("--reward-function", "same_number=2", "--reward-function", "rewards.py:short=0.5")
    done(home, *MATH, *words, "--missing-eos-penalty", "0", "--name", "a")
    samples = (home / "runs/a/samples.jsonl").read_text().splitlines()
    for sample in map(json.loads, samples):
        if "reward" in sample:
            assert -0.5 < sample["reward"] <= 2.0


def test_a_failing_function_names_the_row_and_the_corrected_run_ends_as_if_it_had_not_failed(
    home: Path,
) -> None:
    words = ("--reward-function", "rewards.py:short", "--num-mini-batches", "1")
    done(home, *MATH, *words, "--name", "whole")
    fails = "calls = []\n" + CODE.replace(
        "return", "calls.append(row)\n    if len(calls) > 90:\n        return [1.0]\n    return"
    )
    (home / "rewards.py").write_text(fails)
    answer = upbring(home, *MATH, *words, "--name", "fails")
    assert answer.code == 2
    assert "rewards.py:short: returned [1.0] for math.jsonl:" in answer.err
    assert "of 6, saved; resume with `upbring resume runs/fails`" in " ".join(answer.err.split())
    (home / "rewards.py").write_text(CODE)
    answer = done(home, "resume", "runs/fails")
    assert "functions.rewards.py:short: the checkpoint has" in answer.err
    assert "its code is another from here on" in answer.err
    assert "resuming after step 0" not in answer.err
    whole, resumed = (hashes(home / f"runs/{name}/model") for name in ("whole", "fails"))
    changing = {"contract.json", "manifest.json", "README.md"}
    assert {n: h for n, h in whole.items() if n not in changing} == {
        n: h for n, h in resumed.items() if n not in changing
    }
    assert curve(home / "runs/whole") == curve(home / "runs/fails")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--reward-function", "json_schema"), "math.jsonl:1: has no column schema (its columns: "),
        (("--reward-function", "rewards.py"), "names no function; write rewards.py:short"),
        (("--reward-function", "rewards.py:shrt"), "did you mean short?"),
    ],
)
def test_an_unusable_function_is_told_before_training(
    home: Path, words: tuple[str, ...], told: str
) -> None:
    runs = {path.name for path in (home / "runs").glob("*")}
    answer = upbring(home, *MATH, *words)
    assert answer.code == 2
    assert told in answer.err
    assert {path.name for path in (home / "runs").glob("*")} == runs

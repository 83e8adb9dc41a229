"""A command that runs out of memory says so, whichever library notices it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_hostile_models import QUICK, typed_commands
from tests.commands import done, prepare
from tests.conftest import IS_NIGHTLY, Figure
from tests.preferences import make_labels, make_rankings
from tests.rewarded import make_reward

ROOT = Path(__file__).parents[2]
MEGABYTES = (4, 12, 24, 40, 60, 100, 200)
EXIT_CODES = {0, 3}  # it was enough, or the machine's fault
MOST_CRASHES = 5  # of the libraries of matrix products, which do not check all that they allocate


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory by RLIMIT_AS")
@pytest.mark.parametrize("megabytes", MEGABYTES if IS_NIGHTLY else MEGABYTES[:1])
def test_too_little_memory_is_named_by_every_command(
    tmp_path: Path, megabytes: int, figure: Figure
) -> None:
    home = prepare(tmp_path)
    make_labels(home / "l.jsonl")
    make_rankings(home / "r.jsonl")
    make_reward(home / "m", home / "reward")
    recipe = "model: m\nstages:\n  sft: {data: d.jsonl, steps: 1}\n"
    (home / "m.yaml").write_text(recipe)
    done(home, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    targets = {"score": "reward", "export": "runs/a"}
    commands = [
        tuple({"m": targets.get(words[0], "m"), "exported": words[-1]}.get(w, w) for w in words)
        for words in typed_commands("m")
        if "--reward-model" not in words or "--judge" in words
    ]
    environment = {"PYTHONPATH": str(ROOT), "UPBRING_CACHE": str(home / "cache")}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.cli.limited", str(megabytes)],
        cwd=home,
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = json.loads(finished.stdout)
    crashes = [output for code, output in outcomes if code == -signal.SIGSEGV]
    assert len(crashes) <= MOST_CRASHES, crashes
    assert all("torch" in output for output in crashes), crashes
    for words, (code, output) in zip(commands, outcomes, strict=True):
        if code == -signal.SIGSEGV:
            continue
        where = f"{' '.join(words)}: exit code {code}\n{output}"
        assert code in EXIT_CODES, where
        assert "Traceback" not in output, where
        assert (code == 0) == ("out of memory" not in output), where
    failed = sum(code != 0 for code, _ in outcomes)
    figure(f"commands that name too little memory, {megabytes} MB", f"{failed} of {len(commands)}")

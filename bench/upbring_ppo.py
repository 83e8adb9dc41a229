"""upbring's PPO on a folder of `ppo_shapes`, by the public verb in its own process.

Prints the same JSON line as `trl_ppo`, read from the run's metrics: a round is four steps, one for
each inner epoch. Nothing is held out; the evaluations that a run begins and ends with answer one
prompt each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROMPTS, RESPONSE, EPOCHS = 16, 64, 4


def command(given: argparse.Namespace, runs: str, *, rounds: int) -> list[str]:
    """Return the command line; precision and threads are left to upbring unless given."""
    options = {
        "--model": given.folder / "model",
        "--reward": given.folder / "reward",
        "--tune": given.tune,
        "--value": given.value,
        "--steps": rounds * EPOCHS,
        "--step-examples": PROMPTS,
        "--inner-epochs": EPOCHS,
        "--response-tokens": RESPONSE,
        "--judged-prompts": 1,
        "--held-out-share": 0,
        "--evaluate-every": rounds * EPOCHS,
        "--save-every": rounds * EPOCHS,
        "--runs": runs,
        "--name": "bench",
    }
    if given.precision != "default":
        options["--precision"] = given.precision
    if given.threads is not None:
        options["--threads"] = given.threads
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "upbring", "ppo", str(given.folder / "prompts.jsonl"), *words]


def learn(given: argparse.Namespace) -> dict[str, Any]:
    with (given.folder / "prompts.jsonl").open(encoding="utf-8") as file:
        rounds = sum(1 for _ in file) // PROMPTS
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "UPBRING_CACHE": scratch}
        words = command(given, scratch, rounds=rounds)
        subprocess.run(words, env=environment, stdout=sys.stderr, check=True)
        file = Path(scratch) / "bench" / "metrics.jsonl"
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        times = [line["time"] for line in lines if line["kind"] == "train"]
    return {
        "losses": [],
        "times": times[EPOCHS - 1 :: EPOCHS],
        "tokens": rounds * PROMPTS * RESPONSE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--value", choices=("adapter", "trunk"), default="adapter")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "default"), default="default"
    )
    parser.add_argument("--threads", type=int)
    print(json.dumps(learn(parser.parse_args())))

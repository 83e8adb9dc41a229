"""upbring's supervised fine-tuning on a folder of `shapes`, by the public verb in its own process.

Prints the same JSON line as `trl_sft`, read from the run's metrics. Nothing is held out and no
prompt is answered, for TRL evaluates nothing either; what it learns it saves once, at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def command(given: argparse.Namespace, runs: str, *, steps: int, examples: int) -> list[str]:
    """Return the command line; precision and threads are left to upbring unless given."""
    options = {
        "--model": given.folder / "model",
        "--tune": given.tune,
        "--steps": steps,
        "--batch-size": examples,
        "--epochs": 1,
        "--lr-scheduler": "constant",
        "--warmup": 0,
        "--held-out-share": 0,
        "--eval-steps": steps,
        "--save-steps": steps,
        "--runs": runs,
        "--name": "bench",
    }
    if given.dtype != "default":
        options["--dtype"] = given.dtype
    if given.threads is not None:
        options["--threads"] = given.threads
    words = [*(str(word) for option in options.items() for word in option), *given.also]
    file = str(given.folder / "demonstrations.jsonl")
    return [sys.executable, "-m", "upbring", "sft", file, *words]


def learn(given: argparse.Namespace) -> dict[str, Any]:
    plan = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))
    steps, examples = len(plan["rows"]), len(plan["rows"][0])
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "UPBRING_CACHE": scratch}  # rows are encoded each time
        words = command(given, scratch, steps=steps, examples=examples)
        subprocess.run(words, env=environment, stdout=sys.stderr, check=True)
        file = Path(scratch) / "bench" / "metrics.jsonl"
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        records = [line for line in lines if line["kind"] == "train"]
    return {
        "losses": [record["loss"] for record in records],
        "times": [record["time"] for record in records],
        "tokens": sum(record["tokens"] for record in records),
    }


def case(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the arguments of every program of a comparison."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "default"), default="default")
    return parser


if __name__ == "__main__":
    parser = case(__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--also", nargs=argparse.REMAINDER, default=[], help="for `upbring sft`")
    print(json.dumps(learn(parser.parse_args())))

"""upbring's GRPO on a folder of `real_rows`, by the public command in its own process.

Prints the same JSON line as `trl_grpo`, read from the run's metrics. Useful tokens are those of
responses: prompts are shared here, and repeated there. The evaluations that a run begins and ends
with answer one prompt each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from upbring_sft import case

PROMPTS, GENERATIONS, RESPONSE = 2, 8, 64  # of a step; tokens at most
RULE = Path(__file__).with_name("different_words.py")


def learn(given: argparse.Namespace) -> dict[str, Any]:
    steps = len(json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))["rows"])
    options = {
        "--model": given.folder / "model",
        "--reward-function": f"{RULE}:different_words",
        "--tune": given.tune,
        "--steps": steps,
        "--batch-size": PROMPTS,
        "--num-generations": GENERATIONS,
        "--max-response-length": RESPONSE,
        "--kl-coef": 0.05,
        "--learning-rate": 2e-4,
        "--lr-scheduler": "constant",
        "--warmup": 0,
        "--eval-prompts": 1,
        "--held-out-share": 0,
        "--eval-steps": steps,
        "--save-steps": steps,
        "--name": "bench",
    }
    if given.dtype != "default":
        options["--dtype"] = given.dtype
    if given.threads is not None:
        options["--threads"] = given.threads
    words = [str(word) for option in options.items() for word in option]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "UPBRING_CACHE": scratch}
        file = str(given.folder / "prompts.jsonl")
        command = [sys.executable, "-m", "upbring", "grpo", file, *words, "--runs", scratch]
        subprocess.run(command, env=environment, stdout=sys.stderr, check=True)
        metrics = Path(scratch) / "bench" / "metrics.jsonl"
        lines = map(json.loads, metrics.read_text(encoding="utf-8").splitlines())
        records = [line for line in lines if line["kind"] == "train"]
    return {
        "losses": [],
        "times": [record["time"] for record in records],
        "step_tokens": [round(record["length"] * PROMPTS * GENERATIONS) for record in records],
    }


if __name__ == "__main__":
    parser = case(__doc__)
    parser.add_argument("--threads", type=int)
    print(json.dumps(learn(parser.parse_args())))

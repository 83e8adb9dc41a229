"""upbring's DPO or reward model on a folder of `dpo_shapes`, by the public verb in its own process.

Prints the same JSON line as `trl_dpo` and `trl_reward`, read from the run's metrics. All responses
to a prompt are one tree and go through the network once. The reference's pass over the data comes
before the first step. Where TRL asks its reference in each step, `--spread-reference`
counts that pass as time of the steps: the clock of the first one is set back by its share.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from upbring_sft import case, command


def learn(given: argparse.Namespace) -> dict[str, Any]:
    plan = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))
    steps, examples = len(plan["rows"]), len(plan["rows"][0])
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "UPBRING_CACHE": scratch}  # nothing is found from before
        words = command(given, scratch, steps=steps, examples=examples)
        place = words.index("sft")
        words[place : place + 2] = [given.verb, str(given.folder / "rankings.jsonl")]
        words += ["--learning-rate", "2e-4"]
        began = began_reference(words, environment)
        file = Path(scratch) / "bench" / "metrics.jsonl"
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        records = [line for line in lines if line["kind"] == "train"]
        seconds = 0.0
        if given.verb == "dpo":
            assert began is not None, "the run did not say when it asked its reference"
            seconds = ended_reference(Path(scratch)) - began
    times = [record["time"] for record in records]
    if given.spread_reference and steps > 1:
        times[0] -= seconds * (1 - plan["tokens"][0] / sum(plan["tokens"]))
    return {
        "losses": [record["loss"] for record in records],
        "times": times,
        "tokens": sum(plan["tokens"]),  # as TRL counts them: a prompt for each response
        "reference_seconds": seconds,
    }


def began_reference(words: list[str], environment: dict[str, str]) -> float | None:
    """Run a command and return when it said that it asks the reference, if it did."""
    began = None
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", file=sys.stderr)
            if line.startswith("reference: computing"):
                began = time.time()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, words)
    return began


def ended_reference(scratch: Path) -> float:
    """Return when the reference's log-probabilities were written."""
    (kept,) = scratch.glob("reference-*/manifest.json")
    return kept.stat().st_mtime


if __name__ == "__main__":
    parser = case(__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--verb", choices=("dpo", "reward"), default="dpo")
    parser.add_argument("--spread-reference", action="store_true")
    parser.set_defaults(also=[])
    print(json.dumps(learn(parser.parse_args())))

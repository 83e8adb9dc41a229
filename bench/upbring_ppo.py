"""upbring's PPO on a folder of `ppo_shapes`, by the public command with a clock on its parts.

Prints the same JSON line as `trl_ppo`, read from the run's metrics: a round is four steps, one for
each inner epoch. Nothing is held out; the evaluations that a run begins and ends with answer one
prompt each.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from upbring.algorithms import rl, sample_round
from upbring.algorithms.sample_round import SampledResponses
from upbring.cli.main import main

PROMPTS, RESPONSE, EPOCHS = 16, 64, 4


def command(given: argparse.Namespace, runs: str, *, rounds: int) -> list[str]:
    """Return the words behind `upbring`; precision and threads are left to upbring unless given."""
    options = {
        "--model": given.folder / "model",
        "--reward-model": given.folder / "reward",
        "--tune": given.tune,
        "--value-model": given.value_model,
        "--steps": rounds * EPOCHS,
        "--batch-size": PROMPTS,
        "--update-epochs": EPOCHS,
        "--max-response-length": RESPONSE,
        "--eval-prompts": 1,
        "--held-out-share": 0,
        "--eval-steps": rounds * EPOCHS,
        "--save-steps": rounds * EPOCHS,
        "--runs": runs,
        "--name": "bench",
    }
    if given.dtype != "default":
        options["--dtype"] = given.dtype
    if given.threads is not None:
        options["--threads"] = given.threads
    words = [str(word) for option in options.items() for word in option]
    return ["ppo", str(given.folder / "prompts.jsonl"), *words]


class Clock:
    """Records when each round starts to sample, has sampled, and starts to train."""

    def __init__(self) -> None:
        self.marks: list[list[float]] = []
        self.is_in_round = False  # held-out prompts are sampled outside of rounds
        self.sample_round = rl.OnPolicy.sample_round
        self.sample_responses = sample_round.sample_responses
        clock = self

        def timed_round(algorithm: rl.OnPolicy, number: int) -> None:
            clock.marks.append([time.time()])
            clock.is_in_round = True
            clock.sample_round(algorithm, number)
            clock.marks[-1].append(time.time())
            clock.is_in_round = False

        def timed_sampling(*given: Any, **named: Any) -> SampledResponses:  # noqa: ANN401 -- handed on
            found = clock.sample_responses(*given, **named)
            if clock.is_in_round:
                clock.marks[-1].append(time.time())
            return found

        rl.OnPolicy.sample_round = timed_round  # type: ignore[method-assign]  # to time it
        sample_round.sample_responses = timed_sampling

    def parts(self, ends: list[float]) -> dict[str, list[float]]:
        """Return the seconds of each round and of its parts."""
        rounds = [(*marks, end) for marks, end in zip(self.marks, ends, strict=True)]
        return {
            "round": [end - began for began, _, _, end in rounds],
            "generation": [drawn - began for began, drawn, _, _ in rounds],
            "scoring": [scored - drawn for _, drawn, scored, _ in rounds],
            "update": [end - scored for _, _, scored, end in rounds],
        }


def learn(given: argparse.Namespace) -> dict[str, Any]:
    with (given.folder / "prompts.jsonl").open(encoding="utf-8") as file:
        rounds = sum(1 for _ in file) // PROMPTS
    tokens = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))["tokens"]
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UPBRING_CACHE"] = scratch
        with contextlib.redirect_stdout(sys.stderr):
            code = main(command(given, scratch, rounds=rounds))
        if code:
            sys.exit(code)
        file = Path(scratch) / "bench" / "metrics.jsonl"
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        times = [line["time"] for line in lines if line["kind"] == "train"]
    ends = times[EPOCHS - 1 :: EPOCHS]
    return {"losses": [], "times": ends, "parts": clock.parts(ends), "tokens": tokens}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--value-model", choices=("adapter", "trunk"), default="adapter")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "default"), default="default")
    parser.add_argument("--threads", type=int)
    print(json.dumps(learn(parser.parse_args())))

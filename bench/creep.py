"""Does memory creep? The peak of a run after step 20 and at its end, on texts of varied lengths.

    python bench/creep.py --model ./smollm2 --data dolly_3k.json.gz --steps 1000
    python bench/creep.py --model ./smollm2 --data hh.jsonl.gz --method reward --steps 1000

The median time of a step is printed too, to compare settings: let nothing else compute.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from results import Case, Figure, add_record_flag, record

import upbring as ub
from upbring.durable import peak_process_memory_bytes
from upbring.runs.callback import Callback, MetricsKind

QUESTION = "scaling"
EARLY = 20


class Peaks(Callback):
    """The peak of the process after each step."""

    def __init__(self) -> None:
        self.peaks: list[int] = []
        self.seconds: list[float] = []
        self.tokens: list[float] = []

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Note what the process has used at most."""
        if kind != "train":
            return
        self.peaks.append(peak_process_memory_bytes())
        self.seconds.append(metrics["seconds"])
        self.tokens.append(metrics["tokens"])
        if step % EARLY == 0:
            speed = sum(self.tokens) / sum(self.seconds)
            print(f"step {step}: {self.peaks[-1] / 1e6:,.0f} MB, {speed:.0f} tokens/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--method", choices=["sft", "reward"], default="sft")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--micro-batch-tokens", type=int, help="unset: upbring's choice")
    add_record_flag(parser)
    given = parser.parse_args()
    if given.steps <= EARLY:
        parser.error(f"--steps: must be more than {EARLY}, after which growth is measured")
    train = {"sft": ub.sft, "reward": ub.reward_model}[given.method]
    peaks = Peaks()
    with tempfile.TemporaryDirectory() as folder:
        train(
            given.model,
            data=given.data,
            steps=given.steps,
            batch_size=given.batch_size,
            micro_batch_tokens=given.micro_batch_tokens,
            max_length=512,
            eval_steps=given.steps,
            save_steps=given.steps,
            callbacks=[peaks],
            runs=folder,
        )
    early, late = peaks.peaks[EARLY - 1], peaks.peaks[-1]
    speed = sum(peaks.tokens) / sum(peaks.seconds)
    print(
        f"{given.method}, {given.model}: peak {early / 1e6:,.0f} MB after step {EARLY}, "
        f"{late / 1e6:,.0f} MB after step {len(peaks.peaks)}, growth {late / early - 1:.1%}; "
        f"{speed:.0f} tokens/s, median step {np.median(peaks.seconds):.2f} s"
    )
    if given.record:
        case = Case(model=f"{Path(given.model).name}, {given.method}", n=len(peaks.peaks))
        growth = round(100 * (late / early - 1), 1)
        metric = "growth of the peak after step 20"
        record([Figure(question=QUESTION, metric=metric, value=growth, unit="%", **case)])


if __name__ == "__main__":
    main()

"""Sampling by transformers' `generate` and by upbring: the same prompts, responses as long.

Prompts and responses have log-normal lengths; each row is to end at a length of its own, so that
both draw as many tokens. transformers pads a batch and goes on until its longest row has ended;
upbring lets a row leave, and the next prompt take its place. Both draw from all of the vocabulary
at temperature 1 with what each has by itself; upbring's gives back log-probabilities as well.
`PROMPTS/ROWS` is how many prompts there are, and how many of them are drawn at once.

    python bench/sampling.py --shape tiny --dtype float32 bfloat16 --batch 16/16 64/16 64/64
"""

import argparse
import functools
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from interleaved import MEASURES, TUNED_ALLOCATOR, Measured, Program, in_turns, ratio, spread
from results import Figure, add_record_flag, comparison, record

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
PROMPT, RESPONSE, SPREAD = 60, 64, 0.6  # medians of log-normal lengths
LONGEST = 192  # response
FIRST_WORD = 5  # the vocabulary's first tokens are special
COMPARED = ("speed", "peak")
PROGRAMS = ("transformers", "upbring")


@functools.cache
def prepared(shape: str) -> Path:
    """Return the folder with a model of a shape, written in a process of its own."""
    folder = CACHE / f"{shape}-1"
    words = [sys.executable, BENCH / "shapes.py", folder, "--shape", shape, "--steps", 1]
    subprocess.run([*map(str, words)], check=True, stderr=subprocess.DEVNULL)
    return folder / "model"


def lengths(count: int) -> tuple[list[int], list[int]]:
    """Return how long each prompt and each response is."""
    noise = np.random.default_rng(0).normal(0, SPREAD, (2, count))
    prompts = np.rint(PROMPT * np.exp(noise[0])).astype(int).clip(1, 2 * LONGEST)
    responses = np.rint(RESPONSE * np.exp(noise[1])).astype(int).clip(1, LONGEST)
    return prompts.tolist(), responses.tolist()


def texts(count: int, vocabulary: int) -> list[list[int]]:
    """Return the prompts as tokens."""
    generator = np.random.default_rng(1)
    sizes, _ = lengths(count)
    return [generator.integers(FIRST_WORD, vocabulary, size).tolist() for size in sizes]


def by_transformers(given: argparse.Namespace, dtype: Any) -> Callable[[], int]:  # noqa: ANN401 -- torch's
    """Return what draws all responses, batch after batch, and returns how many tokens."""
    import torch  # noqa: PLC0415 -- not in the process that measures
    from transformers import (  # noqa: PLC0415 -- as above
        AutoModelForCausalLM,
        GenerationConfig,
        StoppingCriteria,
        StoppingCriteriaList,
    )

    class Ends(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed
        """Ends each row at its own length."""

        def __init__(self, ends: torch.Tensor) -> None:
            self.ends = ends

        def __call__(self, tokens: torch.Tensor, _: object, **__: object) -> torch.Tensor:
            return tokens.shape[1] >= self.ends

    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=dtype).eval()
    _, responses = lengths(given.prompts)
    prompts = texts(given.prompts, model.config.vocab_size)
    how = GenerationConfig(do_sample=True, top_k=0, pad_token_id=0, max_new_tokens=LONGEST)
    model.generation_config.eos_token_id = None

    def drawn(some: slice) -> int:
        width = max(map(len, prompts[some]))
        padded = torch.tensor([[0] * (width - len(p)) + p for p in prompts[some]])
        weight = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts[some]])
        ends = torch.tensor(responses[some])
        out = model.generate(
            padded,
            attention_mask=weight,
            generation_config=how,
            stopping_criteria=StoppingCriteriaList([Ends(ends + width)]),
        )
        assert out.shape[1] == width + int(ends.max()), "it goes on until the longest has ended"
        return int(ends.sum())

    starts = range(0, given.prompts, given.rows)
    return lambda: sum(drawn(slice(start, start + given.rows)) for start in starts)


def by_upbring(given: argparse.Namespace, dtype: Any) -> Callable[[], int]:  # noqa: ANN401 -- torch's
    """Return what draws all responses and returns how many tokens."""
    import torch  # noqa: PLC0415 -- as above

    from upbring.maths import counter_rng  # noqa: PLC0415 -- as above
    from upbring.model.load import load  # noqa: PLC0415 -- as above
    from upbring.model.sampling import Request, StopConditions, sample  # noqa: PLC0415 -- as above
    from upbring.settings.sampling import SampleSettings  # noqa: PLC0415 -- as above
    from upbring.train.devices import retain_freed_memory  # noqa: PLC0415 -- as above

    retain_freed_memory()
    name = str(given.model)
    loaded = load(name, device=torch.device("cpu"), compute_dtype=dtype, log=lambda _: None)
    _, responses = lengths(given.prompts)
    prompts = texts(given.prompts, loaded.model.vocab_size)
    requests = [Request(p, (counter_rng.key(0, "bench", i),)) for i, p in enumerate(prompts)]

    def drawn(stopping: StopConditions, most: int) -> list[list[int]]:
        how = SampleSettings(temperature=1.0, max_tokens=most)
        found = sample(loaded.model, requests, how, stopping=stopping, num_slots=given.rows)
        return [response.tokens for response in found]

    # What a row draws is a function of its key, so that its first two tokens identify it. (Its
    # later ones may be others: in bfloat16 a product is rounded by how many rows go in.)
    begun = [tuple(row[:2]) for row in drawn(StopConditions(), 2)]
    ends = dict(zip(begun, responses, strict=True))

    def once() -> int:
        found = drawn(
            StopConditions(ends_sequence=lambda tokens: len(tokens) == ends.get(tuple(tokens[:2]))),
            LONGEST,
        )
        assert [*map(len, found)] == responses, "each row ended where it should"
        return sum(map(len, found))

    return once


def draw(given: argparse.Namespace) -> dict[str, Any]:
    """Draw everything some times, and return the clock after each."""
    import torch  # noqa: PLC0415 -- as above

    if given.threads is not None:
        torch.set_num_threads(given.threads)
    make = {"transformers": by_transformers, "upbring": by_upbring}[given.program]
    once = make(given, getattr(torch, given.dtype[0]))
    tokens, times = 0, []
    for _ in range(given.times):
        tokens += once()
        times.append(time.time())
    return {"losses": [], "times": times, "tokens": tokens}


def programs(given: argparse.Namespace, model: Path, precision: str, batch: str) -> list[Program]:
    """Return the two programs under measurement."""
    case = [f"--model={model}", f"--dtype={precision}", f"--batch={batch}"]
    case += [f"--times={given.times}", *([f"--threads={given.threads}"] if given.threads else [])]
    environment = {"HF_HUB_OFFLINE": "1"}
    return [
        Program(
            name,
            [sys.executable, str(Path(__file__)), f"--program={name}", *case],
            environment | (TUNED_ALLOCATOR if name == "transformers" else {}),
        )
        for name in PROGRAMS
    ]


def table_row(case: str, found: dict[str, list[Measured]]) -> str:
    """Return a row of the table: medians (least–most), ratios taken within each round."""
    theirs, ours = (found[name] for name in PROGRAMS)
    cells = [case]
    for measure in COMPARED:
        gain = ratio(ours, theirs, measure) if measure == "speed" else ratio(theirs, ours, measure)
        cells += [str(spread(theirs, measure)), str(spread(ours, measure)), f"**{gain}**"]
    return f"| {' | '.join(cells)} |"


def recorded(model: str, precision: str, found: dict[str, list[Measured]]) -> list[Figure]:
    """Return the figures of a case; ratios are upbring's to transformers'."""
    theirs, ours = (found[name] for name in PROGRAMS)
    figures: list[Figure] = []
    for measure, what, unit in (("speed", "speed", "tokens/s"), ("peak", "peak memory", "MB")):
        figures += comparison(
            "generation",
            what,
            unit,
            ours=spread(ours, measure),
            theirs=spread(theirs, measure),
            gain=ratio(ours, theirs, measure),
            rival="transformers",
            model=model,
            precision=precision,
            n=len(ours),
        )
    return figures


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    precisions = ["float32", "bfloat16"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--dtype", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--batch", nargs="+", default=["16/16", "64/16", "64/64"])
    parser.add_argument("--times", type=int, default=4, help="in a process, of which one is first")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each program")
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    add_record_flag(parser)
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.prompts, given.rows = map(int, given.batch[0].split("/"))
    return given


def main() -> None:
    """Measure every case and print a table."""
    given = arguments()
    if given.program is not None:
        print(json.dumps(draw(given)))
        return
    columns = [f"{MEASURES[name]}: transformers | upbring | ratio" for name in COMPARED]
    lines = [
        f"| case, prompts / at once | {' | '.join(columns)} |",
        "|---" * (1 + 3 * len(COMPARED)) + "|",
    ]
    figures: list[Figure] = []
    for shape, precision, batch in itertools.product(given.shape, given.dtype, given.batch):
        model = prepared(shape)
        print(f"{shape} {precision} {batch}", flush=True)
        prompts, rows = map(int, batch.split("/"))
        _, responses = lengths(prompts)
        tokens = [sum(responses)] * given.times
        found = in_turns(programs(given, model, precision, batch), tokens, rounds=given.rounds)
        lines.append(table_row(f"{shape} {precision}, {batch}", found))
        name = f"{shape}, {prompts} prompts, {rows} at once"
        figures += recorded(name, precision, found)
    print("\n".join(lines))
    if given.record:
        record(figures, threads=given.threads)


if __name__ == "__main__":
    main()

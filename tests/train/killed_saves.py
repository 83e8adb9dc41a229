"""Kills processes that save checkpoints, and prints as JSON what it found afterwards.

    killed_saves.py FOLDER operations       one process for each operation of a save
    killed_saves.py FOLDER moments COUNT    processes that save in a loop, killed at random moments

It is one program that forks, because importing torch takes longer than all the saves together.
"""

import json
import os
import random
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.faults import CountingDisk, DeadlyDisk
from upbring import durable
from upbring.train.checkpoint import State, load, save, saved_steps

SEED = 20_240_607


def state(step: int, *, num_values: int) -> State:
    """Return a state whose tensors and facts all contain its step."""
    tensors = {name: torch.full((num_values,), float(step)) for name in ("weights", "moments")}
    return State(step, tensors, {"step": step})


def is_mix(found: State) -> bool:
    """Whether the parts of a state come from different steps."""
    parts = [*(sorted(set(tensor.tolist())) for tensor in found.tensors.values()), [found.step]]
    return any(part != [found.facts["step"]] for part in parts)


def loaded(folder: Path) -> State:
    return load(folder, identity={}, warn=refuse)


def refuse(text: str) -> None:
    raise AssertionError(text)


def at_operations(folder: Path) -> Iterator[dict[str, object]]:
    """Kill a save of step 3 before each of its operations, with steps 1 and 2 present."""
    counting = CountingDisk()
    for step, disk in ((1, durable.DISK), (2, durable.DISK), (3, counting)):
        save(folder / "count", state(step, num_values=64), identity={}, keep=2, disk=disk)
    for last, operation in enumerate([*counting.operations, "end"]):
        place = folder / str(last)
        for step in (1, 2):
            save(place, state(step, num_values=64), identity={}, keep=2)
        process = os.fork()
        if not process:
            disk = DeadlyDisk(last)
            save(place, state(3, num_values=64), identity={}, keep=2, disk=disk)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        durable.remove_leftovers(place)
        found = loaded(place)
        yield {
            "operation": operation,
            "code": code,
            "step": found.step,
            "is_mix": is_mix(found),
            "visible": saved_steps(place),
            "left": sorted(path.name for path in place.iterdir() if path.name.startswith(".")),
        }


def at_moments(folder: Path, count: int) -> Iterator[dict[str, object]]:
    """Kill a process that saves one step after another, `count` times."""
    draw = random.Random(SEED)
    for _ in range(count):
        first_step = max(saved_steps(folder), default=0)
        reader, writer = os.pipe()
        process = os.fork()
        if not process:
            for step in range(first_step + 1, first_step + 100_000):
                save(folder, state(step, num_values=50_000), identity={}, keep=2)
                os.write(writer, b".")
        acknowledged = os.read(reader, draw.randint(1, 3))  # at least one save
        select.select([], [], [], draw.random() * 0.03)  # a random moment of the saves after it
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(writer)
        while more := os.read(reader, 1000):
            acknowledged += more
        os.close(reader)
        torn = len(durable.remove_leftovers(folder))
        for step in saved_steps(folder):
            durable.verify(folder / f"step-{step}")
        found = loaded(folder)
        yield {
            "acknowledged": first_step + len(acknowledged),
            "step": found.step,
            "is_mix": is_mix(found),
            "num_visible": len(saved_steps(folder)),
            "first_step": first_step,
            "torn": torn,
        }


def main() -> None:
    torch.set_num_threads(1)
    folder, kind, *rest = sys.argv[1:]
    trials = at_operations(Path(folder)) if kind == "operations" else None
    found = list(trials or at_moments(Path(folder), int(rest[0])))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

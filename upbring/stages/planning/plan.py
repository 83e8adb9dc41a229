"""What a stage takes of memory and time: for `upbring plan`, a run's first lines and its last ones.

The numbers come from the stage's own cast: rows, lengths and steps are those of the run. When
memory did not suffice, the settings to change are named in order, each with what it saves.

Left out: what a run does before its first step and behind its last.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from upbring import durable
from upbring.data.trees.tree import Tree
from upbring.errors import ResourceError, UpbringError
from upbring.runs.run_folder import Run
from upbring.stages.context import Cast
from upbring.stages.planning.cache import Memory
from upbring.stages.planning.dry_model import bytes_of, manner
from upbring.stages.planning.estimate import Estimate, Shape, Work, estimate, recomputed
from upbring.stages.planning.memory_probe import Manner, counted
from upbring.stages.planning.speed_probe import SECONDS, Course, Seconds, calibrate, seconds
from upbring.stages.planning.workload import Demand, demanded
from upbring.train import checkpoint, devices
from upbring.train.progress import duration

MOST_TIMED = 64  # trees
SHORTLY = 0.1  # seconds of trying at the beginning of a run whose like was not planned before
_SAYINGS = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")


@dataclass(frozen=True)
class Plan:
    """A stage's memory, and what it was made of."""

    shape: Shape
    demand: Demand
    memory: Estimate
    available: int
    settings: Any  # each verb's own
    manner: Manner
    known: Memory

    @property
    def work(self) -> Work:
        """What is asked of memory."""
        return self.demand.work

    @property
    def course(self) -> Course:
        """What is asked of time."""
        return self.demand.course

    @property
    def trees(self) -> tuple[Tree, ...]:
        """Trees, the typical one first."""
        return self.demand.trees


def plan(cast: Cast, *, before: int, file: int = 0) -> Plan:
    """Return the plan of a stage; `before` is what the process holds without the model."""
    demand = demanded(cast)
    known = Memory.of(cast, demand)
    how = manner(cast.settings, cast.machine)
    shape = known.shape or counted(cast.loaded.model.network, how, typical=demand.trees[0])
    return Plan(
        shape=replace(shape, file=file),
        demand=demand,
        memory=estimate(replace(shape, file=file), demand.work, before=before),
        available=devices.memory(cast.machine.device),
        settings=cast.settings,
        manner=how,
        known=known,
    )


def timed(cast: Cast, made: Plan, *, within: float = SECONDS) -> Seconds:
    """Return the time that a plan's steps take here, after two seconds of trying."""
    pace = calibrate(
        cast.loaded.model.network.config,
        made.manner,
        made.trees[:MOST_TIMED],
        growth=made.demand.growth,
        within=within,
    )
    made.known.knows(shape=made.shape, pace=pace)
    return seconds(made.shape, pace, made.course)


def expected(cast: Cast, made: Plan, *, within: float) -> Seconds:
    """Return the time of a plan's steps as one of its kind was timed, or after some trying."""
    pace = made.known.pace
    if pace is None:
        return timed(cast, made, within=within)
    return seconds(made.shape, pace, made.course)


def forecast(cast: Cast) -> Plan | None:
    """Tell what a run is going to take, before a weight is read, and return the plan.

    What was counted and timed for one of its kind before is not tried again. A forecast that cannot
    be made says why, and the run goes on.
    """
    try:
        made = plan(cast, before=durable.memory_bytes() or 0, file=bytes_of(cast.loaded.base))
        time = expected(cast, made, within=SHORTLY)
    except UpbringError:
        raise
    except Exception as error:  # noqa: BLE001 -- no run may fail for what is only said of it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        cast.say(f"memory and time: cannot be told before the run ({reason})")
        return None
    cast.say(told(made))
    cast.say(told_time(made, time))
    return made


def told_time(made: Plan, time: Seconds) -> str:
    """Return a plan's time in a line."""
    course = made.course
    return (
        f"time: about {short(time.total)} for {course.steps:,} steps of "
        f"{course.tokens:,.0f} tokens, {short(time.step)} each, and {course.evaluations} "
        f"evaluations, {short(time.evaluation)} each; reading and saving come on top"
    )


def short(seconds: float) -> str:
    """Return a time that may be less than a second.

    >>> short(0.0312), short(75.0)
    ('0.031 s', '1 min 15 s')
    """
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)  # noqa: PLR2004 -- two digits tell


def told(made: Plan) -> str:
    """Return a plan's memory in a line, the largest parts first."""
    parts = sorted(made.memory.parts.items(), key=lambda part: -part[1])
    largest = ", ".join(f"{name} {durable.size(size)}" for name, size in parts[:4])
    more = " and less" if len(parts) > 4 else ""  # noqa: PLR2004 -- as many as fit a line
    fits = "" if made.memory.total <= made.available else ": more than there is"
    return (
        f"memory: about {durable.size(made.memory.total)} of {durable.size(made.available)}{fits} "
        f"({largest}{more})"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, whichever library raised it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _SAYINGS)


def advice(error: BaseException, made: Plan | None = None, run: Run | None = None) -> ResourceError:
    """Return what to tell when memory does not suffice: the settings to change, in order."""
    found = "it does not suffice"
    if made is not None:
        total, there = (durable.size(size) for size in (made.memory.total, made.available))
        found += f": this run was to take about {total}, and there are {there} in all"
    reason = str(error).strip().splitlines()[0][:100] if str(error).strip() else "none is left"
    changes = savings(made) if made is not None else _UNMEASURED
    lines = [
        f"memory: {found} ({reason}); change these settings, in this order, until it fits:",
        *(f"  {change}" for change in changes),
    ]
    if run is not None and (saved := checkpoint.steps(run.checkpoints)):
        lines.append(
            f"the checkpoint of step {saved[-1]} is kept; where there is more memory, go on with "
            f"`upbring resume {run.path}`"
        )
    return ResourceError("\n".join(lines))


_UNMEASURED = [
    "--micro-tokens, half of what it was",
    "--gradient-checkpointing",
    "--precision bfloat16",
    "--tune lora",
]


def savings(made: Plan) -> list[str]:
    """Return the settings to change, each with what it saves by itself."""
    return [
        f"{change}: about {durable.size(saved)} less"
        for change, saved in _changes(made)
        if saved > 0
    ]


def _changes(made: Plan) -> Iterator[tuple[str, int]]:
    """Yield settings to change and the bytes that each saves, the cheapest for the user first."""
    shape, work, settings = made.shape, made.work, made.settings
    before = made.memory.always["interpreter and libraries"]

    def saved(shape: Shape = shape, work: Work = work) -> int:
        return made.memory.total - estimate(shape, work, before=before).total

    longest = max(tree.num_tokens for tree in made.trees)
    half = max(longest, work.tokens // 2)
    if half < work.tokens:
        yield f"--micro-tokens {half}", saved(work=_shorter(work, half / work.tokens))
    if not settings.gradient_checkpointing:
        yield "--gradient-checkpointing", saved(recomputed(shape))
    if made.manner.compute == torch.float32:
        weights = shape.weights if shape.is_full else shape.weights // 2
        halved = replace(shape, weights=weights, layer=shape.layer * 0.6)
        yield "--precision bfloat16", saved(halved)
    if half == longest:  # it is the longest row that fills a micro-batch
        share = settings.max_length // 2 / longest
        if share < 1:
            yield f"--max-length {settings.max_length // 2}", saved(work=_shorter(work, share))
    if shape.is_full:
        yield "--tune lora", saved(replace(shape, learned=shape.learned // 100))
    elif settings.rank > 1:
        yield f"--rank {settings.rank // 2}", saved(replace(shape, learned=shape.learned // 2))


def _shorter(work: Work, share: float) -> Work:
    """Return the work in micro-batches of a share of the tokens."""
    return replace(
        work,
        tokens=int(work.tokens * share),
        rows=int(work.rows * share),
        parts=work.parts + 1,
        held_tokens=int(work.held_tokens * share),
        held_rows=int(work.held_rows * share),
    )


@contextmanager
def explained_memory(made: Plan | None = None, run: Run | None = None) -> Iterator[None]:
    """Turn what libraries raise when memory is gone into advice and exit code 3."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise advice(error, made, run) from error

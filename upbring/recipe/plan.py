"""What a stage takes of memory and time: for `upbring plan`, a run's first lines and its last ones.

The numbers come from the stage's own cast: rows, lengths and steps are those of the run. When
memory did not suffice, the settings to change are named in order, each with what it saves.

Left out: what a run does before its first step and behind its last.
"""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from upbring import durable
from upbring.data.trees import Tree, pack
from upbring.errors import InputError, ResourceError
from upbring.model.estimate import Estimate, Shape, Work, estimate, recomputed
from upbring.model.outline import Manner, counted
from upbring.model.pace import SECONDS, Course, Seconds, calibrate, seconds
from upbring.recipe.answering import NUM_SAMPLES
from upbring.recipe.cast import Cast
from upbring.recipe.next_token import stream
from upbring.recipe.papers import micro_tokens
from upbring.runs.folder import Run
from upbring.train import checkpoint, devices

MOST_STEPS = 200  # that are looked at, spread over the run
MOST_TIMED = 64  # trees
LEAST_WEIGHTS = 20_000_000  # below, a run fits anywhere, and counting takes longer than a step
_SAYINGS = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")


@dataclass(frozen=True)
class Plan:
    """A stage's memory, and what it was made of."""

    shape: Shape
    work: Work
    course: Course
    memory: Estimate
    available: int
    settings: Any  # each verb's own
    trees: tuple[Tree, ...]  # of one step, the typical one first
    manner: Manner


def plan(cast: Cast, *, before: int, file: int = 0) -> Plan:
    """Return the plan of a stage; `before` is what the process holds without the model."""
    demand, course, trees = _demand(cast)
    how = manner(cast)
    shape = counted(cast.loaded.model.network, how, typical=trees[0], file=file)
    return Plan(
        shape=shape,
        work=demand,
        course=course,
        memory=estimate(shape, demand, before=before),
        available=devices.memory(cast.machine.device),
        settings=cast.settings,
        trees=trees,
        manner=how,
    )


def manner(cast: Cast) -> Manner:
    """Return how the model of a stage learns."""
    settings = cast.settings
    return Manner(
        compute=cast.machine.compute,
        adapter=settings,
        is_full=settings.tune == "full",
        is_checkpointed=settings.gradient_checkpointing,
        device=cast.machine.device,
    )


def timed(cast: Cast, made: Plan, *, within: float = SECONDS) -> Seconds:
    """Return the time that a plan's steps take here, after two seconds of trying."""
    config = cast.loaded.model.network.config
    pace = calibrate(config, made.manner, made.trees[:MOST_TIMED], within=within)
    return seconds(made.shape, pace, made.course)


def worthwhile(cast: Cast) -> Plan | None:
    """Return the plan of a run whose model is in memory, if it is so large that memory matters.

    What learns from answers that it samples on the way is not planned yet.
    """
    weights = list(cast.loaded.model.network.parameters())
    if sum(p.numel() for p in weights) < LEAST_WEIGHTS:
        return None
    held = (durable.memory_bytes() or 0) - sum(p.numel() * p.element_size() for p in weights)
    try:
        return plan(cast, before=max(0, held))
    except InputError:
        return None


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


def _demand(cast: Cast) -> tuple[Work, Course, tuple[Tree, ...]]:
    """Return what the stage's trees ask of the model, and those of a step."""
    settings = cast.settings
    order = stream(cast)
    steps = settings.steps or order.num_steps
    budget = micro_tokens(cast)
    chosen = sorted({i * steps // min(steps, MOST_STEPS) for i in range(min(steps, MOST_STEPS))})
    seen = [order.step(step) for step in chosen]
    groups = [_groups(trees, budget) for trees in seen]
    largest = [_largest(each) for each in groups]
    held = cast.dataset.held_out
    held_groups = _groups([held[i] for i in range(len(held))], budget)
    held_tokens, held_rows = _largest(held_groups)
    every = settings.evaluate_every or max(1, steps // 10)
    asked = [len(each.tokens) for each in cast.speech.asked]
    if not asked and cast.craft.answers:
        asked = [len(held[i].prompt) for i in range(min(NUM_SAMPLES, len(held)))]
    work = Work(
        tokens=max(tokens for tokens, _ in largest),
        rows=max(rows for _, rows in largest),
        parts=max(len(each) for each in groups),
        held_tokens=held_tokens,
        held_rows=held_rows,
        sampled=sum(asked) + len(asked) * settings.sample_tokens,
    )
    everything = [tree for trees in seen for tree in trees]
    if not any(tree.num_weighted for tree in everything):
        raise InputError(
            f"upbring plan: {cast.craft.verb} learns from answers that it samples on the way, "
            "which is not planned yet; plan sft with the same model for the least that it takes"
        )
    course = Course(
        steps=steps,
        tokens=sum(tree.num_tokens for tree in everything) / len(seen),
        rows=sum(tree.num_weighted for tree in everything) / len(seen),
        evaluations=1 + math.ceil(steps / every),
        held_tokens=sum(tree.num_tokens for group in held_groups for tree in group),
        held_rows=sum(tree.num_weighted for group in held_groups for tree in group),
        words=settings.sample_tokens if asked else 0,
    )
    return work, course, _typical(everything)


def _groups(trees: list[Tree], budget: int) -> list[list[Tree]]:
    return [[trees[i] for i in group] for group in pack([t.num_tokens for t in trees], budget)]


def _largest(groups: list[list[Tree]]) -> tuple[int, int]:
    """Return the most tokens and the most weighted ones that a micro-batch has."""
    tokens = max((sum(tree.num_tokens for tree in group) for group in groups), default=0)
    return tokens, max((sum(tree.num_weighted for tree in group) for group in groups), default=0)


def _typical(trees: list[Tree]) -> tuple[Tree, ...]:
    """Return trees, first those as long as the one that a token drawn at random lies in."""
    lengths = np.array([tree.num_tokens for tree in trees])
    mean = float((lengths**2).sum() / lengths.sum())
    return tuple(trees[i] for i in np.argsort(np.abs(lengths - mean), kind="stable"))


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

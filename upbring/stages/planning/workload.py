"""What a stage asks of its model: the fullest moment of each phase, and how often it does what.

The rows, the lengths and the steps are those of the run, looked at in places spread over it.

Left out: what a run does before its first step and behind its last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree, Trees, pack
from upbring.stages.context import Cast
from upbring.stages.planning.estimate import ATTENTION_SHAPES, LINEAR_SHAPES, Work
from upbring.stages.planning.speed_probe import Course, Growth
from upbring.stages.provenance import micro_tokens
from upbring.stages.sample_prompts import NUM_SAMPLES
from upbring.train import devices

MOST_STEPS = 200  # that are looked at, spread over the run


@dataclass(frozen=True, eq=False)
class Demand:
    """What a stage asks of memory and of time, and the trees by which it is counted and timed."""

    work: Work
    course: Course
    trees: tuple[Tree, ...]  # of one step, the typical one first
    growth: Growth | None = None  # of responses that are learned from


def demanded(cast: Cast) -> Demand:
    """Return what a stage asks of its model."""
    return (cast.craft.demand or from_rows)(cast)


def from_rows(cast: Cast, *, drawn: int = 0, has_reference: bool = False) -> Demand:
    """Return what a stage asks that learns from rows of files.

    At each evaluation `drawn` held-out prompts may be answered and scored, and a reference may be
    asked about all rows before the first step.
    """
    settings, budget = cast.settings, micro_tokens(cast)
    order = Stream(
        main=cast.dataset.main,
        mixed=cast.dataset.mixed,
        seed=settings.seed,
        epochs=settings.epochs,
        step_examples=settings.step_examples,
        step_tokens=settings.step_tokens,
    )
    steps = settings.steps or order.num_steps
    seen = [order.step(step) for step in looked_at(steps)]
    groups = [grouped(trees, budget) for trees in seen]
    held = every(cast.dataset.held_out)
    held_groups = grouped(held, budget)
    held_tokens, held_rows = largest(held_groups)
    asked = prompts(cast)
    drawn = min(drawn, len(held))
    length = sum(len(tree.prompt) for tree in held) // max(1, len(held)) + settings.sample_tokens
    tokens, rows = largest([group for each in groups for group in each])
    everything = [tree for trees in seen for tree in trees]
    work = Work(
        tokens=tokens,
        rows=rows,
        parts=max(len(each) for each in groups),
        held_tokens=held_tokens,
        held_rows=held_rows,
        sampled=max(sum(asked) + len(asked) * settings.sample_tokens, drawn * length),
        drawn=max(len(asked), drawn),
        kinds=kinds(cast, [*everything, *held], steps * max(len(each) for each in groups)),
    )
    course = Course(
        steps=steps,
        tokens=sum(tree.num_tokens for tree in everything) / len(seen),
        rows=sum(tree.num_weighted for tree in everything) / len(seen),
        evaluations=evaluations(cast, steps),
        held_tokens=sum(tree.num_tokens for tree in held) + 2 * drawn * length,
        held_rows=sum(tree.num_weighted for tree in held) + 2 * drawn * settings.sample_tokens,
        words=settings.sample_tokens if asked else 0,
        held_waves=settings.sample_tokens if drawn else 0,
    )
    if has_reference:
        course = _referred(course, len(cast.dataset.main) / len(everything), everything)
    growth = Growth(drawn, length - settings.sample_tokens // 2) if drawn else None
    return Demand(work, course, typical(everything), growth)


def _referred(course: Course, share: float, trees: Sequence[Tree]) -> Course:
    """Return a course before which a reference looks at `share` times the rows of `trees`."""
    return replace(
        course,
        once_tokens=round(share * sum(tree.num_tokens for tree in trees)),
        once_rows=round(share * sum(tree.num_weighted for tree in trees)),
    )


def looked_at(steps: int) -> list[int]:
    """Return the steps that are looked at.

    >>> looked_at(3), len(looked_at(1000)), looked_at(1000)[-1]
    ([0, 1, 2], 200, 995)
    """
    count = min(steps, MOST_STEPS)
    return [i * steps // count for i in range(count)]


def evaluations(cast: Cast, steps: int) -> int:
    """Return how often a stage is evaluated: before its first step, and then every so often."""
    return 1 + math.ceil(steps / (cast.settings.evaluate_every or max(1, steps // 10)))


def prompts(cast: Cast) -> list[int]:
    """Return the lengths of the fixed prompts that are answered at each evaluation."""
    asked = [len(each.tokens) for each in cast.speech.asked]
    if asked or not cast.craft.answers:
        return asked
    held = cast.dataset.held_out
    return [len(held[i].prompt) for i in range(min(NUM_SAMPLES, len(held)))]


def kinds(cast: Cast, trees: Sequence[Tree], batches: int) -> int:
    """Return for how many shapes of products something is kept: of bfloat16 on a processor only."""
    machine = cast.machine
    if machine.compute != torch.bfloat16 or machine.device.type != "cpu":
        return 0
    lengths = {tree.num_tokens for tree in trees}
    batches *= cast.loaded.model.lanes
    shapes = LINEAR_SHAPES * batches + ATTENTION_SHAPES * len(lengths)
    return min(devices.PRIMITIVES, shapes)


def every(trees: Trees) -> list[Tree]:
    """Return all trees in memory."""
    return [trees[i] for i in range(len(trees))]


def grouped(trees: Sequence[Tree], budget: int) -> list[list[Tree]]:
    """Return trees in micro-batches."""
    return [[trees[i] for i in group] for group in pack([t.num_tokens for t in trees], budget)]


def largest(groups: Sequence[Sequence[Tree]]) -> tuple[int, int]:
    """Return the most tokens and the most weighted ones that a micro-batch has."""
    tokens = max((sum(tree.num_tokens for tree in group) for group in groups), default=0)
    return tokens, max((sum(tree.num_weighted for tree in group) for group in groups), default=0)


def typical(trees: Sequence[Tree]) -> tuple[Tree, ...]:
    """Return trees, first those as long as the one that a token drawn at random lies in."""
    lengths = np.array([tree.num_tokens for tree in trees])
    mean = float((lengths**2).sum() / lengths.sum())
    return tuple(trees[i] for i in np.argsort(np.abs(lengths - mean), kind="stable"))

"""What a stage computes with its model: the largest batch of each phase, and how often.

Rows, lengths and steps are those of the run, at steps spread over all of it.

Excluded: what a run does before its first step and after its last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from upbring.data.trees.tree import Tree, Trees, pack
from upbring.stages.context import StageContext
from upbring.stages.planning.estimate import ATTENTION_SHAPES, LINEAR_SHAPES, MemoryWorkload
from upbring.stages.planning.speed_probe import SamplingWorkload, TimeWorkload
from upbring.stages.provenance import micro_tokens
from upbring.stages.reference_logprobs import few_used_trees
from upbring.stages.sample_prompts import NUM_SAMPLES
from upbring.stages.sft import make_stream
from upbring.train import devices

MAX_SAMPLED_STEPS = 200


@dataclass(frozen=True, eq=False)
class Workload:
    """What determines the memory and time of a stage, and the trees to measure both with."""

    memory: MemoryWorkload
    time: TimeWorkload
    trees: tuple[Tree, ...]  # the typical one first
    sampling: SamplingWorkload | None = None  # of the responses that a stage samples


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of some steps and of an evaluation."""

    num_steps: int
    step_trees: list[list[Tree]]  # of some of the steps
    held_out: list[Tree]
    prompt_lengths: list[int]  # of the sample prompts
    num_sampled: int  # held-out prompts with a response in each evaluation
    max_sampled_length: int  # of such a prompt and its response

    @property
    def trees(self) -> list[Tree]:
        """The trees of all these steps."""
        return [tree for trees in self.step_trees for tree in trees]


def workload_from_rows(
    context: StageContext, *, num_sampled: int = 0, has_reference: bool = False
) -> Workload:
    """Return the workload of a stage that is trained on rows of files.

    Each evaluation samples and scores responses to `num_sampled` held-out prompts. A reference
    scores all rows before the first step.
    """
    settings, tree_stream = context.settings, make_stream(context)
    steps = settings.steps or tree_stream.num_steps
    held_out = load_all(context.dataset.held_out)
    mean_prompt_length = sum(len(tree.prompt) for tree in held_out) // max(1, len(held_out))
    rows = _Rows(
        num_steps=steps,
        step_trees=[tree_stream.step_trees(step) for step in spread_steps(steps)],
        held_out=held_out,
        prompt_lengths=sample_prompt_lengths(context),
        num_sampled=min(num_sampled, len(held_out)),
        max_sampled_length=mean_prompt_length + settings.sample_tokens,
    )
    sampling = (
        SamplingWorkload(rows.num_sampled, rows.max_sampled_length - settings.sample_tokens // 2)
        if rows.num_sampled
        else None
    )
    return Workload(
        _memory_of_rows(context, rows),
        _time_of_rows(context, rows, has_reference=has_reference),
        typical_first(rows.trees),
        sampling,
    )


def _memory_of_rows(context: StageContext, rows: _Rows) -> MemoryWorkload:
    """Return the largest batch of each phase."""
    sample_tokens, budget = context.settings.sample_tokens, micro_tokens(context)
    groups = [group_micro_batches(trees, budget) for trees in rows.step_trees]
    train_tokens, train_rows = largest_micro_batch([group for each in groups for group in each])
    held_tokens, held_rows = largest_micro_batch(group_micro_batches(rows.held_out, budget))
    micro_batches = max(len(each) for each in groups)
    return MemoryWorkload(
        train_tokens=train_tokens,
        train_rows=train_rows,
        micro_batches=micro_batches,
        forward_tokens=held_tokens,
        forward_rows=held_rows,
        kv_cache_tokens=max(
            sum(rows.prompt_lengths) + len(rows.prompt_lengths) * sample_tokens,
            rows.num_sampled * rows.max_sampled_length,
        ),
        concurrent_responses=max(len(rows.prompt_lengths), rows.num_sampled),
        compiled_shapes=count_compiled_shapes(
            context, [*rows.trees, *rows.held_out], rows.num_steps * micro_batches
        ),
    )


def _count_reference_rows(context: StageContext) -> int:
    used = few_used_trees(context)
    return len(context.dataset.main) if used is None else len(used[0])


def _time_of_rows(context: StageContext, rows: _Rows, *, has_reference: bool) -> TimeWorkload:
    """Return how often the stage repeats each operation."""
    sample_tokens = context.settings.sample_tokens
    step_tokens = sum(tree.num_tokens for tree in rows.trees)
    step_rows = sum(tree.num_weighted for tree in rows.trees)
    # A forward pass over the rows with a reference, of which these steps have a part.
    setup_passes = _count_reference_rows(context) / len(rows.trees) if has_reference else 0.0
    return TimeWorkload(
        steps=rows.num_steps,
        step_tokens=step_tokens / len(rows.step_trees),
        step_rows=step_rows / len(rows.step_trees),
        evaluations=count_evaluations(context, rows.num_steps),
        eval_tokens=sum(tree.num_tokens for tree in rows.held_out)
        + 2 * rows.num_sampled * rows.max_sampled_length,
        eval_rows=sum(tree.num_weighted for tree in rows.held_out)
        + 2 * rows.num_sampled * sample_tokens,
        eval_decode_tokens=sample_tokens if rows.prompt_lengths else 0,
        eval_decode_steps=sample_tokens if rows.num_sampled else 0,
        setup_tokens=round(setup_passes * step_tokens),
        setup_rows=round(setup_passes * step_rows),
    )


def spread_steps(steps: int) -> list[int]:
    """Return at most `MAX_SAMPLED_STEPS` steps, spread over all.

    >>> spread_steps(3), len(spread_steps(1000)), spread_steps(1000)[-1]
    ([0, 1, 2], 200, 995)
    """
    count = min(steps, MAX_SAMPLED_STEPS)
    return [i * steps // count for i in range(count)]


def count_evaluations(context: StageContext, steps: int) -> int:
    """Return the number of evaluations, the one before the first step included."""
    return 1 + math.ceil(steps / (context.settings.eval_steps or max(1, steps // 10)))


def sample_prompt_lengths(context: StageContext) -> list[int]:
    """Return the lengths of the sample prompts of an evaluation."""
    lengths = [len(each.tokens) for each in context.preprocessor.sample_prompts]
    if lengths or not context.implementation.samples_held_out_prompts:
        return lengths
    held_out = context.dataset.held_out
    return [len(held_out[i].prompt) for i in range(min(NUM_SAMPLES, len(held_out)))]


def count_compiled_shapes(context: StageContext, trees: Sequence[Tree], batches: int) -> int:
    """Return how many kernels oneDNN caches: one for each matrix shape, in bfloat16 on a CPU."""
    machine = context.machine
    if machine.compute_dtype != torch.bfloat16 or machine.device.type != "cpu":
        return 0
    lengths = {tree.num_tokens for tree in trees}
    shapes = LINEAR_SHAPES * batches + ATTENTION_SHAPES * len(lengths)
    return min(devices.ONEDNN_CACHE_CAPACITY, shapes)


def load_all(trees: Trees) -> list[Tree]:
    """Return all trees in memory."""
    return [trees[i] for i in range(len(trees))]


def group_micro_batches(trees: Sequence[Tree], budget: int) -> list[list[Tree]]:
    """Return trees in micro-batches of at most `budget` tokens."""
    return [[trees[i] for i in group] for group in pack([t.num_tokens for t in trees], budget)]


def largest_micro_batch(groups: Sequence[Sequence[Tree]]) -> tuple[int, int]:
    """Return the largest numbers of tokens and of weighted tokens in a micro-batch."""
    tokens = max((sum(tree.num_tokens for tree in group) for group in groups), default=0)
    return tokens, max((sum(tree.num_weighted for tree in group) for group in groups), default=0)


def typical_first(trees: Sequence[Tree]) -> tuple[Tree, ...]:
    """Return trees, those first whose length is the expected one of a random token's tree."""
    lengths = np.array([tree.num_tokens for tree in trees])
    mean = float((lengths**2).sum() / lengths.sum())
    return tuple(trees[i] for i in np.argsort(np.abs(lengths - mean), kind="stable"))

"""The workload of PPO, GRPO and RLOO: rounds of sampling and scoring, and training steps on them.

No response is known yet, so each is assumed to have the maximum length. A reward model on the
policy's base costs an adapter, any other one its full weights.

Excluded: early stopping, and rewards by rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from upbring.algorithms.sample_round import NUM_SLOTS
from upbring.data.trees.stream import Stream, make_replay_stream
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.model.load import ModelFiles, locate_model_files
from upbring.model.quantized import weight_bytes
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import load_meta_network, make_probe_config
from upbring.stages.planning.estimate import FLOAT32_BYTES, NUM_ADAMW_MOMENTS, MemoryWorkload
from upbring.stages.planning.memory_probe import count_adapter_parameters
from upbring.stages.planning.speed_probe import SamplingWorkload, TimeWorkload
from upbring.stages.planning.workload import (
    Workload,
    count_compiled_shapes,
    count_evaluations,
    group_micro_batches,
    largest_micro_batch,
    sample_prompt_lengths,
    spread_steps,
    typical_first,
)
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_functions import GOLD, parse_weighted_name


@dataclass(frozen=True, slots=True)
class RoleCounts:
    """The models in memory besides the base and the policy."""

    has_value: bool  # as a separate adapter
    reward_models: int  # without rules
    frozen_adapters: int
    other_model_bytes: int  # bytes of other models


@dataclass(frozen=True, slots=True)
class RoundSize:
    """Counts of one round, or of one evaluation."""

    tokens: int
    rows: int
    prompt_tokens: int
    responses: int
    max_length: int  # prompt and response
    largest_micro_batch: tuple[int, int]  # tokens and rows of a micro-batch that is scored

    @classmethod
    def from_trees(cls, trees: Sequence[Tree], budget: int, *, count: int) -> Self:
        """Return the counts of a round of `count` prompts, scaled up from those of `trees`."""
        share = count / max(1, len(trees))
        return cls(
            tokens=round(share * sum(tree.num_tokens for tree in trees)),
            rows=round(share * sum(tree.num_weighted for tree in trees)),
            prompt_tokens=round(share * sum(len(tree.prompt) for tree in trees)),
            responses=round(share * sum(len(tree.branches) for tree in trees)),
            max_length=max((tree.longest_path for tree in trees), default=0),
            largest_micro_batch=largest_micro_batch(group_micro_batches(trees, budget)),
        )


@dataclass(frozen=True, slots=True)
class StepTrees:
    """What a step is trained on: rollouts, and replayed rows."""

    rollouts: list[Tree]
    replay: list[Tree]

    def micro_batches(self, budget: int) -> list[list[Tree]]:
        """Return its micro-batches."""
        return [
            *group_micro_batches(self.rollouts, budget),
            *group_micro_batches(self.replay, budget),
        ]


def workload_from_rollouts(context: StageContext) -> Workload:
    """Return the workload of a stage that is trained on its own responses."""
    settings, budget = context.settings, micro_tokens(context)
    per_round = settings.batch_size * settings.num_mini_batches
    per_step = settings.num_mini_batches * settings.update_epochs  # steps of a round
    rounds = max(1, round(settings.epochs * len(context.dataset.main) / per_round))
    steps = settings.steps or rounds * per_step
    replay = make_replay_stream(
        context.dataset.mixed, batch_size=settings.batch_size, seed=settings.seed
    )
    sampled_steps = _load_steps(
        context, spread_steps(steps), replay if settings.mix_weight > 0 else None
    )
    all_rollouts = [tree for step in sampled_steps for tree in step.rollouts]
    round_size = RoundSize.from_trees(all_rollouts[:per_round], budget, count=per_round)
    held_out = _evaluation_trees(context)
    evaluation_size = RoundSize.from_trees(held_out, budget, count=len(held_out))
    role_counts = count_roles(context)
    memory_workload = _make_memory_workload(
        context, sampled_steps, (round_size, evaluation_size), role_counts
    )
    num_slots = memory_workload.concurrent_responses
    forward_passes, logit_passes = _count_passes(context, role_counts)
    trees = [tree for step in sampled_steps for tree in (*step.rollouts, *step.replay)]
    time_workload = TimeWorkload(
        steps=steps,
        step_tokens=sum(tree.num_tokens for tree in trees) / len(sampled_steps),
        step_rows=sum(tree.num_weighted for tree in trees) / len(sampled_steps),
        evaluations=count_evaluations(context, steps),
        eval_tokens=forward_passes * evaluation_size.tokens + evaluation_size.prompt_tokens,
        eval_rows=logit_passes * evaluation_size.rows,
        eval_decode_tokens=settings.sample_tokens if sample_prompt_lengths(context) else 0,
        passes_per_token=memory_workload.passes_per_token,
        trainable_adapters=memory_workload.trainable_adapters,
        scored_tokens=(forward_passes * round_size.tokens + round_size.prompt_tokens) / per_step,
        scored_rows=logit_passes * round_size.rows / per_step,
        decode_steps=round_size.responses / num_slots * settings.max_response_length / per_step,
        eval_decode_steps=min(1.0, evaluation_size.responses / num_slots)
        * settings.max_response_length,
    )
    mean_tokens = round_size.prompt_tokens // per_round + settings.max_response_length // 2
    return Workload(
        memory_workload,
        time_workload,
        typical_first(all_rollouts),
        SamplingWorkload(num_slots, mean_tokens),
    )


def _load_steps(
    context: StageContext, step_indices: Sequence[int], replay: Stream | None
) -> list[StepTrees]:
    """Return what some steps are trained on."""
    settings, main = context.settings, context.dataset.main
    num_prompts = settings.batch_size
    tree_stream = Stream(main, (), settings.seed, 1.0, 1)
    step_trees = []
    for step in step_indices:
        round_index, index_in_round = divmod(
            step, settings.num_mini_batches * settings.update_epochs
        )
        first = (
            round_index * settings.num_mini_batches + index_in_round % settings.num_mini_batches
        ) * num_prompts
        step_prompts = [tree_stream.example(first + i) for i in range(num_prompts)]
        rollouts = [
            add_dummy_responses(each, settings.num_generations, settings.max_response_length)
            for each in step_prompts
        ]
        step_trees.append(
            StepTrees(rollouts, replay.step_trees(step) if replay is not None else [])
        )
    return step_trees


def _make_memory_workload(
    context: StageContext,
    sampled_steps: Sequence[StepTrees],
    rounds: Sequence[RoundSize],
    role_counts: RoleCounts,
) -> MemoryWorkload:
    """Return the largest batches of steps, rounds and evaluations."""
    settings = context.settings
    groups = [step.micro_batches(micro_tokens(context)) for step in sampled_steps]
    tokens, rows = largest_micro_batch([group for each in groups for group in each])
    num_slots = max(settings.num_generations, min(NUM_SLOTS, rounds[0].responses))
    prompt_lengths = sample_prompt_lengths(context)
    sample_tokens = sum(prompt_lengths) + len(prompt_lengths) * settings.sample_tokens
    trees = [tree for step in sampled_steps for tree in step.rollouts]
    return MemoryWorkload(
        train_tokens=tokens,
        train_rows=rows,
        micro_batches=max(len(each) for each in groups),
        forward_tokens=max(each.largest_micro_batch[0] for each in rounds),
        forward_rows=max(each.largest_micro_batch[1] for each in rounds),
        kv_cache_tokens=max(num_slots * max(each.max_length for each in rounds), sample_tokens),
        trainable_adapters=1 + (role_counts.has_value and settings.tune != "full"),
        frozen_adapters=role_counts.frozen_adapters,
        passes_per_token=1 + role_counts.has_value,
        other_model_bytes=role_counts.other_model_bytes,
        concurrent_responses=num_slots,
        compiled_shapes=count_compiled_shapes(
            context, trees, settings.max_response_length
        ),  # a KV cache that grows by a token has another shape
    )


def add_dummy_responses(prompt: Tree, num_responses: int, response_tokens: int) -> Tree:
    """Return a prompt with responses of some length, all tokens 0."""
    token_ids = np.zeros(response_tokens, np.int32)
    branch = Branch(token_ids, np.ones(response_tokens, np.float32))
    return Tree(prompt.prompt, (branch,) * num_responses, prompt.key)


def count_roles(context: StageContext) -> RoleCounts:
    """Return the models besides the policy."""
    settings = context.settings
    is_full = settings.tune == "full"
    has_value = getattr(settings, "value_model", None) == "adapter"
    names = [parse_weighted_name(text, "reward_model")[0] for text in settings.reward_model]
    reward_model_names = [name for name in names if name != GOLD]
    model_names = [
        *reward_model_names,
        *([settings.judge] if settings.judge not in {None, GOLD} else []),
    ]
    other_models = [
        files for files in map(locate_model_files, model_names) if not _shares_base(context, files)
    ]
    frozen_adapters = len(model_names) - len(other_models) + (settings.ema_decay > 0)
    other_model_bytes = sum(_model_bytes(context, files) for files in other_models)
    if is_full:  # a second, frozen base carries the other roles
        network = context.loaded.model.network
        other_model_bytes += sum(p.numel() for p in network.parameters()) * FLOAT32_BYTES
        adapter_bytes = FLOAT32_BYTES * count_adapter_parameters(
            network, make_probe_config(context.settings, context.machine, _policy_files(context))
        )
        other_model_bytes += adapter_bytes * (frozen_adapters + (2 + NUM_ADAMW_MOMENTS) * has_value)
    return RoleCounts(
        has_value, len(reward_model_names), 0 if is_full else frozen_adapters, other_model_bytes
    )


def _count_passes(context: StageContext, role_counts: RoleCounts) -> tuple[int, int]:
    """Return how many models score each response, and how many of them compute its logits."""
    is_trunk = getattr(context.settings, "value_model", None) == "trunk"
    is_rounded = context.machine.compute_dtype != torch.float32
    is_rescored = is_trunk or (is_rounded and context.settings.needs_old_logprobs)
    logit_passes = 1 + is_rescored  # the reference, and the policy if it is scored again
    return logit_passes + role_counts.has_value + role_counts.reward_models, logit_passes


def _evaluation_trees(context: StageContext) -> list[Tree]:
    """Return the prompts of an evaluation, with a response each."""
    settings = context.settings
    source: Trees = (
        context.dataset.held_out if len(context.dataset.held_out) else context.dataset.main
    )
    count = min(len(source), settings.eval_prompts)
    return [add_dummy_responses(source[i], 1, settings.max_response_length) for i in range(count)]


def _shares_base(context: StageContext, files: ModelFiles) -> bool:
    """Whether a model is an adapter on the policy's base; the base counts as a new adapter."""
    is_adapter = files.folder == context.loaded.base or bool(files.adapters)
    is_same_base = files.base == context.loaded.base
    if files.adapters:
        is_same_base &= files.trained_quantization == context.loaded.quantization
    return is_adapter and is_same_base


def _model_bytes(context: StageContext, files: ModelFiles) -> int:
    """Return the bytes of a model that is in memory next to the policy."""
    probe_config = make_probe_config(context.settings, context.machine, files)
    probe_config = replace(probe_config, quantization=files.trained_quantization)
    size: int = weight_bytes(load_meta_network(files, probe_config))
    return size


def _policy_files(context: StageContext) -> ModelFiles:
    return locate_model_files(str(context.loaded.folder))

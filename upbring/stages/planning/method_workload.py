"""The workload of a stage by what its method is trained on: rows, preferences or rollouts."""

from dataclasses import replace

from upbring.stages.context import StageContext
from upbring.stages.planning.rl_workload import workload_from_rollouts
from upbring.stages.planning.workload import Workload, workload_from_rows
from upbring.stages.preference import KtoTrees, max_tree_length
from upbring.stages.reference_kl import NUM_PROMPTS


def make_workload(context: StageContext) -> Workload:
    """Return what a stage computes with its model."""
    method = context.method
    if method.learns_from == "prompts":
        return workload_from_rollouts(context)
    if method.learns_from in {"comparisons", "labels"} and method.makes == "policy":
        return _workload_from_preferences(context)
    return workload_from_rows(context)


def _workload_from_preferences(context: StageContext) -> Workload:
    """Return the workload of the rows and of the responses that measure the KL to the reference."""
    dataset = context.dataset
    if context.method.learns_from == "labels":
        max_length = max_tree_length(context)
        main, held_out = KtoTrees(dataset.main, max_length), KtoTrees(dataset.held_out, max_length)
        context = replace(context, dataset=replace(dataset, main=main, held_out=held_out))
    return workload_from_rows(
        context,
        num_sampled=NUM_PROMPTS,
        has_reference=context.implementation.has_reference,
    )

"""Steps cut into micro-batches: how many tokens fit, and which trees share a row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree, Trees, pack, split_evenly
from upbring.model.network import Model

# Activations that one token keeps for the backward pass, in multiples of layers × width, float32:
# attention's four projections, the mlp's three (each about 3 widths), norms and residuals.
ACTIVATIONS_PER_LAYER = 34

# A row shorter than this is not worth a lane of its own.
MIN_ROW_TOKENS = 256


@dataclass(frozen=True, slots=True)
class MicroBatchGroups:
    """Which trees make each row, by their places, and how many rows are computed at once."""

    groups: list[list[int]]
    lanes: int = 1


def make_micro_batches(
    model: Model, trees: Trees, max_tokens: int, *, lanes: int = 1
) -> list[Batch]:
    """Return trees as micro-batches of at most `max_tokens` tokens, unmixed across rotary scales."""
    all_trees = [trees[i] for i in range(len(trees))]
    grouping = group_micro_batches(model, all_trees, max_tokens, lanes=lanes)
    batches = [make_batch([all_trees[i] for i in group]) for group in grouping.groups]
    return [replace(batch.to(model.device), lanes=grouping.lanes) for batch in batches]


def group_micro_batches(
    model: Model, trees: Sequence[Tree], max_tokens: int, *, lanes: int = 1
) -> MicroBatchGroups:
    """Return which trees make each of those micro-batches.

    Rows that are computed at the same time share the budget, and are about as long: as many as
    there are `lanes`, or fewer, where they would be too short or would not hold the longest tree.
    """
    threshold = model.rotary_threshold
    lengths = [tree.num_tokens for tree in trees]
    kinds = [int(threshold is not None and tree.longest_path > threshold) for tree in trees]
    max_lanes = min(
        sum(lengths) // MIN_ROW_TOKENS, max_tokens // max(lengths, default=1), len(trees)
    )
    lanes = max(1, min(lanes, max_lanes))
    groups_by_lane = [
        [
            [indices[i] for i in group]
            for group in pack(
                [lengths[i] for i in indices],
                max_tokens // lanes,
                kinds=[kinds[i] for i in indices],
            )
        ]
        for indices in split_evenly(lengths, lanes)
    ]
    groups = [group for wave in zip_longest(*groups_by_lane) for group in wave if group is not None]
    return MicroBatchGroups(groups, lanes)


def token_budget(model: Model, memory_bytes: int, *, is_checkpointed: bool) -> int:
    """Return how many tokens may be computed at once in a quarter of `memory_bytes`."""
    config = model.network.config.get_text_config()
    width, layers = int(config.hidden_size), int(config.num_hidden_layers)
    activations = 2 if is_checkpointed else ACTIVATIONS_PER_LAYER
    max_tokens = memory_bytes // 4 // (4 * activations * width * layers)
    return max(512, min(16_384, max_tokens))

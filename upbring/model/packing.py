"""Steps cut into micro-batches: how many tokens fit, and which trees share a row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree, Trees, dealt, pack
from upbring.model.network import Model

# Activations that one token keeps for the backward pass, in multiples of layers × width, float32:
# attention's four projections, the mlp's three (each about 3 widths), norms and residuals.
KEPT_PER_LAYER = 34

# A row shorter than this is not worth a lane of its own.
FEWEST_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Rows:
    """Which trees make each row, by their places, and how many rows are computed at once."""

    groups: list[list[int]]
    lanes: int = 1


def packed(model: Model, trees: Trees, budget: int, *, lanes: int = 1) -> list[Batch]:
    """Return trees as micro-batches of at most `budget` tokens, unmixed across rotary scales."""
    every = [trees[i] for i in range(len(trees))]
    rows = grouped(model, every, budget, lanes=lanes)
    batches = [make_batch([every[i] for i in group]) for group in rows.groups]
    return [replace(batch.to(model.device), lanes=rows.lanes) for batch in batches]


def grouped(model: Model, trees: Sequence[Tree], budget: int, *, lanes: int = 1) -> Rows:
    """Return which trees make each of those micro-batches.

    Rows that are computed at the same time share the budget, and are about as long: as many as
    there are `lanes`, or fewer, where they would be too short or would not hold the longest tree.
    """
    limit = model.rotary_threshold
    lengths = [tree.num_tokens for tree in trees]
    kinds = [int(limit is not None and tree.longest > limit) for tree in trees]
    most = min(sum(lengths) // FEWEST_TOKENS, budget // max(lengths, default=1), len(trees))
    lanes = max(1, min(lanes, most))
    in_lanes = [
        [
            [places[i] for i in group]
            for group in pack(
                [lengths[i] for i in places],
                budget // lanes,
                kinds=[kinds[i] for i in places],
            )
        ]
        for places in dealt(lengths, lanes)
    ]
    groups = [group for wave in zip_longest(*in_lanes) for group in wave if group is not None]
    return Rows(groups, lanes)


def token_budget(model: Model, memory_bytes: int, *, is_checkpointed: bool) -> int:
    """Return how many tokens may be computed at once in a quarter of `memory_bytes`."""
    config = model.network.config.get_text_config()
    width, layers = int(config.hidden_size), int(config.num_hidden_layers)
    kept = 2 if is_checkpointed else KEPT_PER_LAYER
    fitting = memory_bytes // 4 // (4 * kept * width * layers)
    return max(512, min(16_384, fitting))

"""Steps cut into micro-batches: how many tokens fit, and which trees share a row."""

from collections.abc import Sequence

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree, Trees, pack
from upbring.model.network import Model

# Activations that one token keeps for the backward pass, in multiples of layers × width, float32:
# attention's four projections, the mlp's three (each about 3 widths), norms and residuals.
ACTIVATIONS_PER_LAYER = 34


def make_micro_batches(model: Model, trees: Trees, max_tokens: int) -> list[Batch]:
    """Return trees as micro-batches of at most `max_tokens`, never mixing rotary scales."""
    all_trees = [trees[i] for i in range(len(trees))]
    groups = group_micro_batches(model, all_trees, max_tokens)
    return [make_batch([all_trees[i] for i in group]).to(model.device) for group in groups]


def group_micro_batches(model: Model, trees: Sequence[Tree], max_tokens: int) -> list[list[int]]:
    """Return the indices of the trees of each micro-batch."""
    threshold = model.rotary_threshold
    lengths = [tree.num_tokens for tree in trees]
    kinds = [int(threshold is not None and tree.longest_path > threshold) for tree in trees]
    return pack(lengths, max_tokens, kinds=kinds)


def token_budget(model: Model, memory_bytes: int, *, is_checkpointed: bool) -> int:
    """Return how many tokens may be computed at once in a quarter of `memory_bytes`."""
    config = model.network.config.get_text_config()
    width, layers = int(config.hidden_size), int(config.num_hidden_layers)
    activations = 2 if is_checkpointed else ACTIVATIONS_PER_LAYER
    max_tokens = memory_bytes // 4 // (4 * activations * width * layers)
    return max(512, min(16_384, max_tokens))

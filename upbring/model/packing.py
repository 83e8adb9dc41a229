"""Steps cut into micro-batches: how many tokens fit, and which trees share a row."""

from collections.abc import Sequence

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree, Trees, pack
from upbring.model.network import Model

# Activations that one token keeps for the backward pass, in multiples of layers × width, float32:
# attention's four projections, the mlp's three (each about 3 widths), norms and residuals.
ACTIVATIONS_PER_LAYER = 34
# On a processor, more tokens than this at once only take memory: its cores are busy with 1,000, or
# with so many multiplications, which matter for small models.
BUSY_TOKENS, BUSY_WORK = 1024, 10**11


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
    """Return how many tokens to compute at once: at most a quarter of `memory_bytes` is taken.

    On a processor they are no more than what keeps it busy: then the peak does not depend on
    whether all rows of a step are long.
    """
    config = model.network.config.get_text_config()
    width, layers = int(config.hidden_size), int(config.num_hidden_layers)
    activations = 2 if is_checkpointed else ACTIVATIONS_PER_LAYER
    max_tokens = memory_bytes // 4 // (4 * activations * width * layers)
    if model.device.type == "cpu":
        num_weights = sum(each.numel() for each in model.body.parameters())
        num_weights -= model.vocab_size * width  # of the embedding
        max_tokens = min(max_tokens, max(BUSY_TOKENS, BUSY_WORK // max(1, num_weights)))
    return max(512, min(16_384, max_tokens))

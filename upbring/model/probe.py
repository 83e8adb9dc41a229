"""What every model must show at load: that it computes packed trees as it computes plain text.

A tree of two branches, about 40 tokens, is scored packed and plain. An architecture that fails is
run a sequence at a time; one whose logits are not understood at all is refused. Never silently
wrong.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.attention import ATTENTION_NAME, UnsupportedAttention
from upbring.model.fused_layers import fuse, unfuse
from upbring.model.network import Model
from upbring.model.score import score_tokens

# Largest difference of a log-probability that rounding explains; bfloat16 keeps 8 bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.05}

PROMPT_LENGTH, BRANCH_LENGTHS = 14, (11, 15)


@torch.no_grad()
def probe_architecture(model: Model, *, log: Callable[[str], None]) -> Model:
    """Return the model on the fastest path that is right for it, or refuse it."""
    architecture = type(model.network).__name__
    permutation = counter_rng.permutation(counter_rng.key("probe"), model.vocab_size)
    tokens = permutation.repeat(
        1 + (PROMPT_LENGTH + sum(BRANCH_LENGTHS)) // model.vocab_size
    ).tolist()
    prompt, rest = tokens[:PROMPT_LENGTH], tokens[PROMPT_LENGTH:]
    branches = (rest[: BRANCH_LENGTHS[0]], rest[BRANCH_LENGTHS[0] : sum(BRANCH_LENGTHS)])
    batch = make_batch([make_tree(prompt, *branches)]).to(model.device)
    original_attention = model.network.config._attn_implementation  # noqa: SLF001 -- has no public getter
    tolerance = TOLERANCE[model.compute_dtype]
    unfuse(model.network)
    expected = torch.cat(
        [_transformers_logprobs(model, prompt, branch, original_attention) for branch in branches]
    )
    model.network.set_attn_implementation(ATTENTION_NAME)
    for change in (fuse, unfuse):
        change(model.network)
        reason = _packing_error(model, batch, expected, tolerance)
        if reason is None:
            return model
    model.network.set_attn_implementation(original_attention)
    slow = replace(model, is_packed=False)
    difference = _max_difference(score_tokens(slow, batch).logprobs, expected)
    if not difference <= tolerance:
        raise InputError(
            f"{architecture}: upbring does not compute this architecture's probabilities (its own differ "
            f"by {difference:.2g}); it cannot be trained here"
        )
    log(
        f"{architecture} does not take packed trees ({reason}); running one sequence at a time, slower"
    )
    return slow


def _packing_error(model: Model, batch: Batch, expected: Tensor, tolerance: float) -> str | None:
    """Return why a model does not take packed trees, if it does not."""
    try:
        difference = _max_difference(score_tokens(model, batch).logprobs, expected)
    except (UnsupportedAttention, TypeError, ValueError, RuntimeError) as error:
        return str(error)
    return None if difference <= tolerance else f"differs by {difference:.2g}"


def _transformers_logprobs(
    model: Model, prompt: list[int], branch: list[int], attention: str
) -> Tensor:
    """Return a branch's log-probabilities by transformers alone."""
    model.network.set_attn_implementation(attention)
    tokens = torch.tensor([prompt + branch], device=model.device)
    with model.autocast():
        all_logits = model.network(input_ids=tokens, use_cache=False).logits[0].float()
    p = len(prompt)
    target_logprobs: Tensor = all_logits.log_softmax(-1)[p - 1 : -1].gather(-1, tokens[0, p:, None])
    return target_logprobs.squeeze(-1)


def _max_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max())

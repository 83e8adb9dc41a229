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
from upbring.data.trees.tree import tree
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.attention import NAME, UnknownAttention
from upbring.model.fused_layers import fuse, unfuse
from upbring.model.network import Model
from upbring.model.score import score

# Largest difference of a log-probability that rounding explains; bfloat16 keeps 8 bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.05}

PROMPT, BRANCHES = 14, (11, 15)


@torch.no_grad()
def probed(model: Model, *, notice: Callable[[str], None]) -> Model:
    """Return the model on the fastest path that is right for it, or refuse it."""
    kind = type(model.network).__name__
    some = counter_rng.order(counter_rng.key("probe"), model.vocabulary)
    tokens = some.repeat(1 + (PROMPT + sum(BRANCHES)) // model.vocabulary).tolist()
    prompt, rest = tokens[:PROMPT], tokens[PROMPT:]
    branches = (rest[: BRANCHES[0]], rest[BRANCHES[0] : sum(BRANCHES)])
    batch = make_batch([tree(prompt, *branches)]).to(model.device)
    own = model.network.config._attn_implementation  # noqa: SLF001 -- has no public getter
    bound = TOLERANCE[model.compute]
    unfuse(model.network)
    plain = torch.cat([_plain(model, prompt, branch, own) for branch in branches])
    model.network.set_attn_implementation(NAME)
    for change in (fuse, unfuse):
        change(model.network)
        reason = _fault(model, batch, plain, bound)
        if reason is None:
            return model
    model.network.set_attn_implementation(own)
    slow = replace(model, is_packed=False)
    found = _difference(score(slow, batch).logprobs, plain)
    if not found <= bound:
        raise InputError(
            f"{kind}: upbring does not compute this architecture's probabilities (its own differ "
            f"by {found:.2g}); it cannot be trained here"
        )
    notice(f"{kind} does not take packed trees ({reason}); running one sequence at a time, slower")
    return slow


def _fault(model: Model, batch: Batch, plain: Tensor, bound: float) -> str | None:
    """Return why a model does not take packed trees, if it does not."""
    try:
        found = _difference(score(model, batch).logprobs, plain)
    except (UnknownAttention, TypeError, ValueError, RuntimeError) as error:
        return str(error)
    return None if found <= bound else f"differs by {found:.2g}"


def _plain(model: Model, prompt: list[int], branch: list[int], attention: str) -> Tensor:
    """Return a branch's log-probabilities by transformers alone."""
    model.network.set_attn_implementation(attention)
    tokens = torch.tensor([prompt + branch], device=model.device)
    with model.autocast():
        every = model.network(input_ids=tokens, use_cache=False).logits[0].float()
    p = len(prompt)
    chosen: Tensor = every.log_softmax(-1)[p - 1 : -1].gather(-1, tokens[0, p:, None])
    return chosen.squeeze(-1)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())

"""Check at load time that packed trees give the log-probabilities of plain transformers.

A tree of two branches, about 40 tokens, is scored packed, and each branch alone by transformers. An
architecture that fails runs one sequence at a time; one whose log-probabilities differ even then is
refused, so that training is never silently wrong.
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
from upbring.model.network import Model
from upbring.model.score import score_tokens

# Largest difference of log-probabilities that rounding explains; bfloat16 has 8 significant bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.05}

PROMPT_LENGTH, BRANCH_LENGTHS = 14, (11, 15)


@torch.no_grad()
def probe_architecture(model: Model, *, log: Callable[[str], None]) -> Model:
    """Return the model set up for the fastest path that is correct for it, or raise."""
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
    expected = torch.cat(
        [_transformers_logprobs(model, prompt, branch, original_attention) for branch in branches]
    )
    model.network.set_attn_implementation(ATTENTION_NAME)
    reason = _packing_error(model, batch, expected, tolerance)
    if reason is None:
        return model
    model.network.set_attn_implementation(original_attention)
    slow = replace(model, is_packed=False)
    difference = _max_difference(score_tokens(slow, batch).logprobs, expected)
    if not difference <= tolerance:
        raise InputError(
            f"{architecture}: log-probabilities differ by {difference:.2g} from those of "
            "transformers, so this architecture is not supported; use another model"
        )
    log(
        f"{architecture}: packed trees are not supported ({reason}); running one sequence at a "
        "time, which is slower"
    )
    return slow


def _packing_error(model: Model, batch: Batch, expected: Tensor, tolerance: float) -> str | None:
    """Return why a model does not support packed trees, or None if it does."""
    try:
        difference = _max_difference(score_tokens(model, batch).logprobs, expected)
    except (UnsupportedAttention, TypeError, ValueError, RuntimeError) as error:
        return str(error)
    return None if difference <= tolerance else f"log-probabilities differ by {difference:.2g}"


def _transformers_logprobs(
    model: Model, prompt: list[int], branch: list[int], attention: str
) -> Tensor:
    """Return a branch's log-probabilities, computed by transformers alone."""
    model.network.set_attn_implementation(attention)
    tokens = torch.tensor([prompt + branch], device=model.device)
    with model.autocast():
        all_logits = model.network(input_ids=tokens, use_cache=False).logits[0].float()
    p = len(prompt)
    target_logprobs: Tensor = all_logits.log_softmax(-1)[p - 1 : -1].gather(-1, tokens[0, p:, None])
    return target_logprobs.squeeze(-1)


def _max_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max())

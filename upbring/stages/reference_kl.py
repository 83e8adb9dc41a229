"""KL divergence to the reference, on responses that the policy samples to held-out prompts.

Each evaluation uses the same prompts and the same random numbers. In full fine-tuning the reference
is no longer in memory, and only the length of the responses is measured.
"""

from collections.abc import Callable, Mapping

import torch

from upbring.data.trees.tree import make_tree
from upbring.maths import counter_rng
from upbring.maths.kl import k3
from upbring.maths.segment_sums import segment_sum
from upbring.model.packing import make_micro_batches
from upbring.model.roles import BASE
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.sampling import SampleSettings
from upbring.stages.context import StageContext
from upbring.stages.provenance import micro_tokens

NUM_PROMPTS = 16


def make_reference_kl_metrics(
    context: StageContext, role: str
) -> Callable[[], Mapping[str, float]]:
    """Return a function that measures `kl`, in nats per response, and `answer_length`."""
    held_out, max_length = context.dataset.held_out, context.loaded.model.max_positions
    max_prompt_length = 2**31 if max_length is None else max_length - context.settings.sample_tokens
    prompts = [held_out[i].prompt.tolist() for i in range(min(len(held_out), 4 * NUM_PROMPTS))]
    requests = [
        Request(prompt, (counter_rng.key(context.settings.seed, "drift", i),))
        for i, prompt in enumerate(
            [p for p in prompts if len(p) <= max_prompt_length][:NUM_PROMPTS]
        )
    ]

    def measure() -> dict[str, float]:
        if not requests:
            return {}
        responses = _sample_responses(context, role, requests)
        metrics = {"answer_length": sum(map(len, responses)) / len(responses)}
        if role != BASE:
            metrics["kl"] = _mean_kl(context, role, requests, responses)
        return metrics

    return measure


def _sample_responses(context: StageContext, role: str, requests: list[Request]) -> list[list[int]]:
    """Return a response to each prompt, sampled at temperature 1."""
    sampling = SampleSettings(temperature=1.0, max_tokens=context.settings.sample_tokens)
    stopping = StopConditions(frozenset(context.preprocessor.stop_token_ids))
    with context.loaded.roles.active(role):
        sampled = sample(
            context.loaded.model, requests, sampling, stopping=stopping, poll=context.poll
        )
    return [response.tokens for response in sampled]


@torch.no_grad()
def _mean_kl(
    context: StageContext, role: str, requests: list[Request], responses: list[list[int]]
) -> float:
    """Return the mean over responses of Σ k3 over their tokens, an estimate of KL(π ‖ π_ref)."""
    roles, model = context.loaded.roles, context.loaded.model
    total = 0.0
    trees = [make_tree(r.prompt, response) for r, response in zip(requests, responses, strict=True)]
    for batch in make_micro_batches(model, trees, micro_tokens(context)):
        with roles.active(role):
            policy = score_tokens(model, batch).logprobs  # [R]
        with roles.active(BASE):
            reference = score_tokens(model, batch).logprobs  # [R]
        total += float(
            segment_sum(k3(policy, reference), batch.branch_index, len(batch.tree_index))
            .double()
            .sum()
        )
    return total / len(responses)

"""How far the policy went from its reference, on answers that it draws itself to held-out prompts.

The same prompts with the same noise at each evaluation. Where every weight learns the reference is
not in memory any more, and only the length of the answers is told.
"""

from collections.abc import Callable, Mapping

import torch

from upbring.data.trees.tree import tree
from upbring.maths import counter_rng
from upbring.maths.kl import k3
from upbring.maths.segments import sums
from upbring.model.packing import packed
from upbring.model.roles import BASE
from upbring.model.sampling import Request, Stopping, sample
from upbring.model.score import score
from upbring.settings.sampling import SampleSettings
from upbring.stages.context import Cast
from upbring.stages.provenance import micro_tokens

NUM_PROMPTS = 16


def drift(cast: Cast, role: str) -> Callable[[], Mapping[str, float]]:
    """Return what tells `kl`, in nats an answer, and `answer_length`, in tokens."""
    held, longest = cast.dataset.held_out, cast.loaded.model.longest
    room = 2**31 if longest is None else longest - cast.settings.sample_tokens
    prompts = [held[i].prompt.tolist() for i in range(min(len(held), 4 * NUM_PROMPTS))]
    requests = [
        Request(prompt, (counter_rng.key(cast.settings.seed, "drift", i),))
        for i, prompt in enumerate([p for p in prompts if len(p) <= room][:NUM_PROMPTS])
    ]

    def measure() -> dict[str, float]:
        if not requests:
            return {}
        answers = _answers(cast, role, requests)
        found = {"answer_length": sum(map(len, answers)) / len(answers)}
        if role != BASE:
            found["kl"] = _divergence(cast, role, requests, answers)
        return found

    return measure


def _answers(cast: Cast, role: str, requests: list[Request]) -> list[list[int]]:
    """Return an answer to each prompt, drawn at temperature 1."""
    how = SampleSettings(temperature=1.0, max_tokens=cast.settings.sample_tokens)
    stopping = Stopping(frozenset(cast.speech.stops))
    with cast.loaded.roles.speaking(role):
        drawn = sample(cast.loaded.model, requests, how, stopping=stopping, poll=cast.poll)
    return [response.tokens for response in drawn]


@torch.no_grad()
def _divergence(cast: Cast, role: str, requests: list[Request], answers: list[list[int]]) -> float:
    """Return the mean over answers of Σ k3 over their tokens, an estimate of KL(π ‖ π_ref)."""
    roles, model = cast.loaded.roles, cast.loaded.model
    total = 0.0
    trees = [tree(r.prompt, answer) for r, answer in zip(requests, answers, strict=True)]
    for batch in packed(model, trees, micro_tokens(cast)):
        with roles.speaking(role):
            policy = score(model, batch).logprobs  # [R]
        with roles.speaking(BASE):
            reference = score(model, batch).logprobs  # [R]
        total += float(sums(k3(policy, reference), batch.branch, len(batch.tree)).double().sum())
    return total / len(answers)

"""Sampling of responses and their scoring: a round of rollouts before advantages and training."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from upbring.algorithms.rollout_batch import (
    Rollout,
    RolloutBatch,
    make_rollout_tree,
    make_rollouts,
)
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.model.heads import apply_head
from upbring.model.network import Model
from upbring.model.packing import group_micro_batches
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.plurals import format_count
from upbring.settings.sampling import SampleSettings

NUM_SLOTS = 64  # responses that are sampled at the same time


@dataclass(frozen=True, slots=True, eq=False)
class RoleModel:
    """A role on a model: its adapter and, for a reward or value model, its scalar head."""

    model: Model
    active: Callable[[], AbstractContextManager[None]]
    head: nn.Linear | None = None
    offset: float = 0.0  # subtracted from the head's output

    def predict(self, hidden: Tensor) -> Tensor:
        """Return the head's output `[M]` for hidden states `[M, D]`."""
        assert self.head is not None, "this role has no head"
        return apply_head(self.head, hidden) - self.offset


class SourceScores(list[float]):
    """The rewards of N responses, and what each of the S sources of the reward gave them."""

    def __init__(self, rewards: Iterable[float], sources: Tensor) -> None:
        super().__init__(rewards)
        self.sources = sources  # [N, S] float64, before weights


class RewardFunction(Protocol):
    """Scores responses: one finite number each, independent of the other responses in the call.

    A reward with several sources returns `SourceScores`.
    """

    def __call__(self, rollouts: Sequence[Rollout], /) -> Sequence[float]:
        """Return a number for each rollout."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRoles:
    """The models and reward functions of on-policy training."""

    policy: RoleModel
    reference: RoleModel
    reward: RewardFunction
    judge: RewardFunction | None = None  # the policy is never trained on its scores
    value: RoleModel | None = None  # PPO only; None: a head on the policy's own layers
    ema: RoleModel | None = None  # the moving average of the policy's weights
    ema_parameters: Sequence[tuple[nn.Parameter, nn.Parameter]] = ()  # (average, policy)
    source_names: tuple[str, ...] = ()  # S, of the reward's `SourceScores`


@dataclass(frozen=True, slots=True, eq=False)
class ResponseDecoder:
    """Converts tokens to text; has the tokens that end a response."""

    decode: Callable[[Sequence[int]], str]
    token_text: Callable[[int], str]  # special tokens too
    stop_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SampledResponses:
    """Prompts with their sampled responses, and the sampler's own log-probabilities."""

    trees: list[Tree]  # P
    logprobs: Tensor  # [R] float32
    is_finished: Tensor  # [N] float32


def sample_responses(
    policy: RoleModel,
    prompts: Sequence[Tree],
    keys: Sequence[tuple[int, ...]],
    *,
    max_tokens: int,
    stop_token_ids: Sequence[int],
    poll: Callable[[], None],
) -> SampledResponses:
    """Return one response per prompt and random key, sampled at temperature 1.

    Sampling is from the whole vocabulary: the log-probabilities are those of the policy itself.
    """
    requests = [Request(p.prompt.tolist(), k) for p, k in zip(prompts, keys, strict=True)]
    sampling = SampleSettings(temperature=1.0, max_tokens=max_tokens)
    stopping = StopConditions(frozenset(stop_token_ids))
    with policy.active():
        samples = sample(
            policy.model, requests, sampling, stopping=stopping, num_slots=NUM_SLOTS, poll=poll
        )
    responses = iter(samples)
    trees = [
        make_rollout_tree(prompt, [np.asarray(next(responses).tokens, np.int32) for _ in own])
        for prompt, own in zip(prompts, keys, strict=True)
    ]
    logprobs = [np.array(each.logprobs, np.float32) for each in samples]
    return SampledResponses(
        trees,
        torch.from_numpy(np.concatenate([np.empty(0, np.float32), *logprobs])),
        torch.tensor([float(each.finish_reason == "stop") for each in samples]),
    )


def sample_and_score(
    policy: RoleModel,
    roles: PolicyRoles,
    prompts: Sequence[Tree],
    keys: Sequence[tuple[int, ...]],
    *,
    decoder: ResponseDecoder,
    max_tokens: int,
    micro_tokens: int,
    score_policy: Callable[[RoleModel, Batch], Mapping[str, Tensor]],
    judge: RewardFunction | None,
    poll: Callable[[], None],
) -> RolloutBatch:
    """Return sampled responses with their log-probabilities, values and rewards.

    `score_policy` adds `old_logprobs` and `values` `[R]` where the method needs them.
    """
    stop_token_ids = decoder.stop_token_ids
    sampled = sample_responses(
        policy, prompts, keys, max_tokens=max_tokens, stop_token_ids=stop_token_ids, poll=poll
    )

    def score(batch: Batch) -> Mapping[str, Tensor]:
        with roles.reference.active():
            reference = score_tokens(roles.reference.model, batch).logprobs  # [R]
        return {"reference_logprobs": reference, **score_policy(policy, batch)}

    scores = score_in_micro_batches(policy.model, sampled.trees, micro_tokens, score)
    responses = make_rollouts(sampled.trees, stop_token_ids, decoder.decode)
    rewards = roles.reward(responses)
    return RolloutBatch(
        trees=tuple(sampled.trees),
        batch=make_batch(sampled.trees),
        sampled_logprobs=sampled.logprobs,
        old_logprobs=scores.get("old_logprobs", sampled.logprobs),
        reference_logprobs=scores["reference_logprobs"],
        values=scores.get("values"),
        is_finished=sampled.is_finished,
        rewards=checked_scores(rewards, len(responses), name="reward"),
        judge_scores=None
        if judge is None
        else checked_scores(judge(responses), len(responses), name="judge"),
        source_rewards=rewards.sources if isinstance(rewards, SourceScores) else None,
    )


@torch.no_grad()
def score_in_micro_batches(
    model: Model,
    trees: Sequence[Tree],
    max_tokens: int,
    score: Callable[[Batch], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Return the concatenated results of `score` on micro-batches, `[R]` in the trees' order."""
    parts: dict[str, dict[int, Tensor]] = {}
    for group in group_micro_batches(model, trees, max_tokens):
        batch = make_batch([trees[i] for i in group]).to(model.device)
        sizes = [trees[i].num_weighted for i in group]
        for name, values in score(batch).items():
            by_tree = torch.split(values.float().cpu(), sizes)
            parts.setdefault(name, {}).update(zip(group, by_tree, strict=True))
    return {name: torch.cat([part[i] for i in range(len(trees))]) for name, part in parts.items()}


def checked_scores(scores: Sequence[float], num_responses: int, *, name: str) -> Tensor:
    """Return the scores `[N]` float64; a missing or non-finite score is an error."""
    values = [float(value) for value in scores]
    invalid = [value for value in values if not math.isfinite(value)]
    if len(values) != num_responses or invalid:
        result = f"the number {invalid[0]}" if invalid else format_count(len(values), "number")
        raise InputError(
            f"{name}: returned {result} for {format_count(num_responses, 'response')}; "
            "return one finite number for each"
        )
    return torch.tensor(values, dtype=torch.float64)

"""A tiny policy with all its roles on one base model, for the tests of PPO, GRPO and RLOO."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rollout_batch import Rollout, RolloutBatch
from upbring.algorithms.sample_round import PolicyRoles, ResponseDecoder, RoleModel
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import BASE, Roles
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.model import AdapterSettings
from upbring.settings.schema import Settings
from upbring.train.gradient import accumulate, clip_grad_norm
from upbring.train.optimizer import ParameterGroup, make_optimizer, set_learning_rate

K = TypeVar("K", bound=OnPolicy)
PROMPTS = [
    Tree(each.prompt, (), f"p:{i}")
    for i, each in enumerate(random_trees(VOCABULARY, [(n, (1,)) for n in (3, 5, 2, 7, 4, 6)]))
]
REPLAYED = random_trees(VOCABULARY, [(3, (6,)), (4, (3,))])
LORA = AdapterSettings(rank=4)
STOPS = tuple(range(60, 80))  # one token in five, so that lengths differ
LUCKY = 7


def lucky(rollouts: Sequence[Rollout]) -> list[float]:
    """Return the share of lucky tokens of each response."""
    return [float((rollout.tokens == LUCKY).mean()) for rollout in rollouts]


def odd(rollouts: Sequence[Rollout]) -> list[float]:
    """Return 1 for each response with an odd first token, else 0."""
    return [float(rollout.tokens[0] % 2) for rollout in rollouts]


def text() -> ResponseDecoder:
    """Return a decoder that writes tokens as their ids."""
    return ResponseDecoder(lambda tokens: " ".join(map(str, tokens)), str, STOPS)


def settings(kind: type[Settings], **given: object) -> Any:
    """Return settings with two prompts per step and short responses."""
    values = {
        "model": "m",
        "prompts": (Path("p.jsonl"),),
        "batch_size": 2,
        "max_response_length": 6,
        "missing_eos_penalty": 0.0,
    }
    return kind(**{**values, **given})


def made(
    kind: type[K],
    config: OnPolicySettings,
    *,
    reward: Callable[[Sequence[Rollout]], Sequence[float]] = lucky,
    compute: torch.dtype = torch.float32,
    is_rescored: bool = False,
    is_checkpointed: bool = False,
    judge: Callable[[Sequence[Rollout]], Sequence[float]] | None = None,
) -> tuple[K, Roles]:
    """Return an algorithm on a new policy, and the roles of its base model."""
    network = family("llama", attention=ATTENTION_NAME).to(compute)
    model, roles = Model(network, compute), Roles(network)
    roles.add_adapter("policy", LORA, seed=0)
    if is_checkpointed:
        roles.enable_gradient_checkpointing()
    trainable = [ParameterGroup(roles.parameters("policy"))]
    value = None
    head = None
    if kind is Ppo:
        if config.value_model == "trunk":  # type: ignore[attr-defined]  # PPO's settings
            roles.add_head("policy", torch.zeros(1, 32))
            head = roles.heads["policy"]
            trainable = [ParameterGroup(roles.parameters("policy"))]
        else:
            roles.add_adapter("value", LORA, seed=1)
            roles.add_head("value", seed=2)
            value = RoleModel(model, partial(roles.active, "value"), roles.heads["value"])
            trainable.append(ParameterGroup(roles.parameters("value")))
    ema_parameters, ema = [], None
    if config.ema_decay:
        roles.add_adapter("average", LORA, seed=0)
        pairs = zip(
            roles.parameters("average").values(), roles.parameters("policy").values(), strict=False
        )
        ema_parameters, ema = list(pairs), RoleModel(model, partial(roles.active, "average"))
    policy_roles = PolicyRoles(
        policy=RoleModel(model, partial(roles.active, "policy"), head),
        reference=RoleModel(model, partial(roles.active, BASE)),
        reward=reward,
        judge=judge,
        value=value,
        ema=ema,
        ema_parameters=ema_parameters,
    )
    algorithm = kind(
        settings=config,
        roles=policy_roles,
        trainable=trainable,
        prompts=PROMPTS,
        held_out=PROMPTS[:3],
        decoder=text(),
        micro_tokens=40,
        is_rescored=is_rescored,
        replay=Stream(REPLAYED, (), 0, 1.0, 2) if config.mix else None,
    )
    return algorithm, roles


def round_of(algorithm: OnPolicy) -> RolloutBatch:
    """Return the current round of the algorithm."""
    assert algorithm.rollouts is not None
    return algorithm.rollouts


def given(values: torch.Tensor | None) -> torch.Tensor:
    """Return a field of a rollout batch that the method computes."""
    assert values is not None
    return values


def gradient(
    algorithm: OnPolicy, batches: Sequence[RolloutBatch | Batch]
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the gradient of a step as one vector, and its metrics."""
    parameters = [p for group in algorithm.trainable for p in group.parameters.values()]
    for parameter in parameters:
        parameter.grad = None
    metrics = accumulate(algorithm, batches)
    row = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([part.flatten() for part in row]), metrics


def trained(
    algorithm: OnPolicy, *, start: int = 0, stop: int | None = None
) -> list[dict[str, float]]:
    """Take steps as the training loop does, and return their metrics."""
    groups = algorithm.parameters()
    optimizer = make_optimizer(groups, algorithm.settings)
    parameters = [p for group in groups for p in group.parameters.values()]
    metrics = []
    for step, batches in enumerate(algorithm.batches(start), start):
        set_learning_rate(optimizer, algorithm.settings.learning_rate)
        metrics.append(accumulate(algorithm, batches))
        clip_grad_norm(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step + 1 == stop:
            break
    return metrics


def bandit(kind: type[K], config: type[Settings], *, steps: int, **given: object) -> list[float]:
    """Return the reward of each step on one prompt, where odd first tokens have reward 1."""
    values = {
        "batch_size": 1,
        "max_response_length": 1,
        "num_generations": 32,
        "kl_coef": 0.0,
        **given,
    }
    ours, roles = made(
        kind, settings(config, steps=steps, learning_rate=0.02, **values), reward=odd
    )
    ours.prompts = PROMPTS[:1]
    ours.__post_init__()
    for head in roles.heads.values():
        torch.nn.init.zeros_(head.weight)
    return [metrics["reward"] for metrics in trained(ours)]

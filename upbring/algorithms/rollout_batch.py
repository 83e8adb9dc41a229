"""Rollouts: the responses that the policy sampled, with the numbers of every token.

`RolloutBatch` is one round. It is built once, after sampling and scoring: an algorithm adds the
advantages to it, and each step selects the part that it trains on (`select`).
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Branch, Tokens, Tree
from upbring.train import processes

TOKEN_FIELDS = (
    *("sampled_logprobs", "old_logprobs", "reference_logprobs"),
    *("values", "token_rewards", "advantages", "returns"),
)  # [R]
RESPONSE_FIELDS = (
    *("is_finished", "rewards", "judge_scores"),
    *("normalized_rewards", "reward_std", "kl", "response_advantages"),
    *("source_rewards", "source_stds"),  # [N, S]
)  # [N]


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One response as a reward function sees it."""

    key: str  # of the prompt's row
    prompt: Tokens
    tokens: Tokens  # the stop token included
    prompt_text: str
    text: str  # without the stop token
    has_ended: bool  # a stop token came before the maximum length
    tree: Tree  # the prompt with all of its responses


@dataclass(frozen=True, slots=True, eq=False)
class RolloutBatch:
    """N responses to P prompts, R response tokens in all; tensors are float32 unless noted.

    Fields that a method does not compute are None.
    """

    trees: tuple[Tree, ...]  # P
    batch: Batch  # the trees, packed
    sampled_logprobs: Tensor  # [R] as computed by the sampler
    old_logprobs: Tensor  # [R] of the sampling policy, as computed in training
    reference_logprobs: Tensor  # [R]
    is_finished: Tensor  # [N] 1 where a stop token ended the response, else 0
    rewards: Tensor  # [N] float64, as returned by the reward function
    judge_scores: Tensor | None = None  # [N] float64
    values: Tensor | None = None  # [R] expected return before each token
    normalized_rewards: Tensor | None = None  # [N]
    reward_std: Tensor | None = None  # [N] of the whole round
    kl: Tensor | None = None  # [N] to the reference, in nats
    token_rewards: Tensor | None = None  # [R]
    advantages: Tensor | None = None  # [R]
    returns: Tensor | None = None  # [R]
    response_advantages: Tensor | None = None  # [N]
    source_rewards: Tensor | None = None  # [N, S] float64, of each source of the reward
    source_stds: Tensor | None = None  # [N, S] of the whole round

    @property
    def num_tokens(self) -> int:
        """The tokens of a forward pass."""
        return self.batch.num_tokens

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the prompts' rows."""
        return self.batch.keys

    def select(self, prompts: Sequence[int]) -> "RolloutBatch":
        """Return the rollouts of some prompts, in this order."""
        trees = tuple(self.trees[i] for i in prompts)
        tokens = _positions([_num_response_tokens(tree) for tree in self.trees], prompts)
        responses = _positions([len(tree.branches) for tree in self.trees], prompts)
        return replace(
            self,
            trees=trees,
            batch=make_batch(trees),
            **{name: values[tokens] for name, values in self._present(TOKEN_FIELDS)},
            **{name: values[responses] for name, values in self._present(RESPONSE_FIELDS)},
        )

    def to(self, device: torch.device) -> "RolloutBatch":
        """Return the rollouts with their tensors on `device`."""
        tensors = self._present((*TOKEN_FIELDS, *RESPONSE_FIELDS))
        moved: dict[str, Any] = {name: values.to(device) for name, values in tensors}
        return replace(self, batch=self.batch.to(device), **moved)

    def state(self) -> dict[str, Tensor]:
        """Return everything except the prompts as tensors, for `restore_rollouts`."""
        branches = [branch for tree in self.trees for branch in tree.branches]
        tokens = np.concatenate([np.empty(0, np.int32), *(b.tokens for b in branches)])
        return {
            "num_responses": torch.tensor([len(tree.branches) for tree in self.trees]),
            "lengths": torch.tensor([len(branch.tokens) for branch in branches]),
            "tokens": torch.from_numpy(tokens),
            **dict(self._present((*TOKEN_FIELDS, *RESPONSE_FIELDS))),
        }

    def _present(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        for name in names:
            values = getattr(self, name)
            if values is not None:
                yield name, values


def restore_rollouts(prompts: Sequence[Tree], state: Mapping[str, Tensor]) -> RolloutBatch:
    """Return the rollouts to `prompts` that `RolloutBatch.state` wrote."""
    ends = np.cumsum(state["lengths"].numpy())
    responses = iter(np.split(state["tokens"].numpy(), ends[:-1]))
    counts = state["num_responses"].tolist()
    trees = tuple(
        make_rollout_tree(prompt, [next(responses) for _ in range(count)])
        for prompt, count in zip(prompts, counts, strict=True)
    )
    fields: dict[str, Any] = {
        name: state[name] for name in (*TOKEN_FIELDS, *RESPONSE_FIELDS) if name in state
    }
    return RolloutBatch(trees, make_batch(trees), **fields)


def make_rollout_tree(prompt: Tree, responses: Sequence[Tokens]) -> Tree:
    """Return a prompt with its responses; every response token has weight 1."""
    branches = [Branch(tokens, np.ones(len(tokens), np.float32)) for tokens in responses]
    return Tree(prompt.prompt, tuple(branches), prompt.key)


def make_rollouts(
    trees: Sequence[Tree], stop_token_ids: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[Rollout]:
    """Return each response as a reward function sees it, in the order of the trees."""
    return [
        Rollout(
            key=tree.key,
            prompt=tree.prompt,
            tokens=branch.tokens,
            prompt_text=decode(tree.prompt.tolist()),
            text=decode([t for t in branch.tokens.tolist() if t not in stop_token_ids]),
            has_ended=int(branch.tokens[-1]) in stop_token_ids,
            tree=tree,
        )
        for tree in trees
        for branch in tree.branches
    ]


def trees_of(rollouts: Sequence[Rollout]) -> list[Tree]:
    """Return the trees of rollouts, each once; the responses of a tree must be consecutive."""
    return [next(group).tree for _, group in groupby(rollouts, key=lambda each: id(each.tree))]


def gather_rollouts(
    prompts: Sequence[Tree], own: Sequence[int], rollouts: RolloutBatch | None
) -> RolloutBatch:
    """Return the rollouts of all processes in the order of `prompts`.

    `own` are the prompts that this process sampled for; without any, `rollouts` is None. A single
    process gets its own rollouts back.
    """
    if processes.process_group().world_size == 1:
        assert rollouts is not None, "a single process samples for every prompt"
        return rollouts
    state = {} if rollouts is None else rollouts.state()
    text = json.dumps({"own": [*own], "state": {n: _encode(t) for n, t in state.items()}})
    parts: dict[int, RolloutBatch] = {}
    for reply in map(json.loads, processes.all_gather(text)):
        if reply["own"]:
            tensors = {name: _decode(*encoded) for name, encoded in reply["state"].items()}
            part = restore_rollouts([prompts[i] for i in reply["own"]], tensors)
            parts |= {i: part.select([position]) for position, i in enumerate(reply["own"])}
    return _concatenate([parts[i] for i in range(len(prompts))])


def _concatenate(parts: Sequence[RolloutBatch]) -> RolloutBatch:
    trees = tuple(tree for part in parts for tree in part.trees)
    names = [name for name, _ in parts[0]._present((*TOKEN_FIELDS, *RESPONSE_FIELDS))]  # noqa: SLF001 -- of this file
    fields: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in names
    }
    return RolloutBatch(trees, make_batch(trees), **fields)


def _num_response_tokens(tree: Tree) -> int:
    return sum(len(branch.tokens) for branch in tree.branches)


def _positions(sizes: Sequence[int], chosen: Sequence[int]) -> Tensor:
    """Return the positions of the chosen segments among consecutive segments of these sizes."""
    starts = [0, *np.cumsum(sizes).tolist()]
    ranges = [torch.arange(starts[i], starts[i + 1]) for i in chosen]
    return torch.cat(ranges) if ranges else torch.empty(0, dtype=torch.int64)


def _encode(tensor: Tensor) -> tuple[str, Sequence[int], str]:
    array = tensor.numpy()
    return str(array.dtype), array.shape, base64.b64encode(array.tobytes()).decode()


def _decode(dtype: str, shape: Sequence[int], data: str) -> Tensor:
    array = np.frombuffer(base64.b64decode(data), dtype)
    return torch.from_numpy(array.reshape(shape).copy())

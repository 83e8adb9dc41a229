"""Rollouts: prompts with the responses that the policy just drew, and numbers about each token.

A rollout is a tree. What is known of each token lies in its branches' notes, what is known of each
response in the tree's facts. Drawing is shared by all processes; what each has drawn, all learn of.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Branch, Tokens, Tree
from upbring.model.heads import apply_head
from upbring.model.network import Model
from upbring.model.packing import group_micro_batches
from upbring.model.sampling import Request, StopConditions, sample
from upbring.settings.sampling import SampleSettings
from upbring.train import processes
from upbring.train.lanes import map_in_lanes

NUM_SLOTS = 64  # responses that are drawn at once

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class RoleModel:
    """A role on a model: what lets it speak, and the head that reads a number off it."""

    model: Model
    active: Callable[[], AbstractContextManager[None]]
    head: nn.Linear | None = None
    offset: float = 0.0  # taken off what the head says

    def predict(self, hidden: Tensor) -> Tensor:
        """Return what the head says `[M]` of hidden states `[M, D]`."""
        assert self.head is not None, "this role has no head"
        return apply_head(self.head, hidden) - self.offset


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """A response that the policy drew, as whoever rewards it sees it."""

    key: str  # names the prompt's row
    prompt: Tokens
    tokens: Tokens  # the stop token included
    prompt_text: str  # the prompt as text
    text: str  # the response as text, without its stop token
    has_ended: bool  # whether a stop token came before the longest length


class RewardFunction(Protocol):
    """Says how good responses are: one finite number each, whatever else is asked about."""

    def __call__(self, rollouts: Sequence[Rollout], /) -> Sequence[float]:
        """Return a number for each of the rollouts."""


def sample_rollouts(
    role_model: RoleModel,
    prompts: Sequence[Tree],
    keys: Sequence[tuple[int, ...]],
    *,
    max_tokens: int,
    stop_token_ids: Sequence[int],
    poll: Callable[[], None],
) -> list[Tree]:
    """Return each prompt with a response for each of its keys, drawn as the policy speaks.

    At temperature 1 and from the whole vocabulary: so the probabilities that come back are those of
    the draw. Notes `sampled`; facts `ended`.
    """
    requests = [Request(p.prompt.tolist(), k) for p, k in zip(prompts, keys, strict=True)]
    sampling = SampleSettings(temperature=1.0, max_tokens=max_tokens)
    stop_conditions = StopConditions(frozenset(stop_token_ids))
    with role_model.active():
        responses = iter(
            sample(
                role_model.model,
                requests,
                sampling,
                stopping=stop_conditions,
                num_slots=NUM_SLOTS,
                poll=poll,
            )
        )
    trees = []
    for prompt, prompt_keys in zip(prompts, keys, strict=True):
        prompt_responses = [next(responses) for _ in prompt_keys]
        branches = tuple(
            _make_branch(response.tokens, {"sampled": np.array(response.logprobs, np.float32)})
            for response in prompt_responses
        )
        facts = {
            "ended": np.array([float(each.finish_reason == "stop") for each in prompt_responses])
        }
        trees.append(Tree(prompt.prompt, branches, prompt.key, facts))
    return trees


def _make_branch(tokens: Sequence[int] | npt.NDArray[Any], notes: Arrays) -> Branch:
    return Branch(np.asarray(tokens, np.int32), np.ones(len(tokens), np.float32), notes)


def make_rollouts(
    trees: Sequence[Tree], stop_token_ids: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[Rollout]:
    """Return the branches of trees, one after another, as whoever rewards them sees them."""
    return [
        Rollout(
            key=tree.key,
            prompt=tree.prompt,
            tokens=branch.tokens,
            prompt_text=decode(tree.prompt.tolist()),
            text=decode([t for t in branch.tokens.tolist() if t not in stop_token_ids]),
            has_ended=bool(ended),
        )
        for tree in trees
        for branch, ended in zip(tree.branches, tree.per_branch["ended"], strict=True)
    ]


def regrown(some: Sequence[Rollout]) -> Iterator[Tree]:
    """Yield rollouts as trees again: those that follow one another with one prompt share it."""
    group: list[Rollout] = []
    for each in some:
        if group and (each.key != group[0].key or each.prompt is not group[0].prompt):
            yield _make_tree(group)
            group = []
        group.append(each)
    if group:
        yield _make_tree(group)


def _make_tree(group: Sequence[Rollout]) -> Tree:
    return Tree(group[0].prompt, tuple(_make_branch(r.tokens, {}) for r in group), group[0].key)


def noted(
    model: Model, trees: Sequence[Tree], budget: int, look: Callable[[Batch], Mapping[str, Tensor]]
) -> list[Tree]:
    """Return trees with the notes `[R]` that `look` finds about the tokens of each batch."""

    @torch.no_grad()
    def looked(group: Sequence[int]) -> list[Tree]:
        some = [trees[i] for i in group]
        notes = {n: v.cpu() for n, v in look(make_batch(some).to(model.device)).items()}
        return annotated(some, notes=notes)

    rows = group_micro_batches(model, trees, budget, lanes=model.lanes)
    found: dict[int, Tree] = {}
    every = map_in_lanes(looked, rows.groups, rows.lanes)
    for group, some in zip(rows.groups, every, strict=True):
        found |= dict(zip(group, some, strict=True))
    return [found[i] for i in range(len(trees))]


def annotated(
    trees: Sequence[Tree],
    *,
    notes: Mapping[str, Tensor] | None = None,
    facts: Mapping[str, Tensor] | None = None,
) -> list[Tree]:
    """Return trees with further notes `[R]` about their tokens and facts `[N]` of their branches.

    Every token of a branch must be learned from, as all are that were drawn.
    """
    tokens = {name: values.float().numpy() for name, values in (notes or {}).items()}
    branches = {name: values.double().numpy() for name, values in (facts or {}).items()}
    place = number = 0
    found = []
    for tree in trees:
        grown = []
        for branch in tree.branches:
            here = slice(place, place + len(branch.tokens))
            more = {name: values[here] for name, values in tokens.items()}
            grown.append(replace(branch, per_token={**branch.per_token, **more}))
            place = here.stop
        here = slice(number, number + len(tree.branches))
        said = {name: values[here] for name, values in branches.items()}
        found.append(replace(tree, branches=tuple(grown), per_branch={**tree.per_branch, **said}))
        number = here.stop
    return found


def flatten_rollouts(trees: Sequence[Tree]) -> dict[str, npt.NDArray[Any]]:
    """Return the branches of trees with all that is known of them, as arrays by name."""
    branches = [branch for tree in trees for branch in tree.branches]
    arrays: dict[str, npt.NDArray[Any]] = {
        "counts": np.array([len(tree.branches) for tree in trees], np.int64),
        "lengths": np.array([len(branch.tokens) for branch in branches], np.int64),
        "tokens": np.concatenate([np.empty(0, np.int32), *(b.tokens for b in branches)]),
    }
    for name in sorted(branches[0].per_token) if branches else ():
        arrays[f"notes/{name}"] = np.concatenate([b.per_token[name] for b in branches])
    for name in sorted(trees[0].per_branch) if trees else ():
        arrays[f"facts/{name}"] = np.concatenate([tree.per_branch[name] for tree in trees])
    return arrays


def grown(prompts: Sequence[Tree], arrays: Arrays) -> list[Tree]:
    """Return prompts with the branches that `flatten_rollouts` wrote down."""
    ends = np.cumsum(arrays["lengths"]).tolist()
    notes = {n.removeprefix("notes/"): a for n, a in arrays.items() if n.startswith("notes/")}
    facts = {n.removeprefix("facts/"): a for n, a in arrays.items() if n.startswith("facts/")}
    branches = [
        _make_branch(arrays["tokens"][start:end], {n: a[start:end] for n, a in notes.items()})
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    trees, place = [], 0
    for prompt, count in zip(prompts, arrays["counts"].tolist(), strict=True):
        here = slice(place, place + count)
        said = {name: array[here] for name, array in facts.items()}
        trees.append(Tree(prompt.prompt, tuple(branches[here]), prompt.key, said))
        place += count
    return trees


def exchanged(prompts: Sequence[Tree], mine: Sequence[int], trees: Sequence[Tree]) -> list[Tree]:
    """Return the rollouts of all processes, in the order of `prompts`; `prompt_responses` says which are here.

    Alone, nothing is written down and read again.
    """
    if processes.process_group().world_size == 1:
        return list(trees)
    told = {name: _encode_array(array) for name, array in flatten_rollouts(trees).items()}
    found: dict[int, Tree] = {}
    for text in processes.all_gather(json.dumps({"places": [*mine], "arrays": told})):
        theirs = json.loads(text)
        arrays = {name: _decode_array(*written) for name, written in theirs["arrays"].items()}
        some = grown([prompts[i] for i in theirs["places"]], arrays)
        found |= dict(zip(theirs["places"], some, strict=True))
    return [found[i] for i in range(len(prompts))]


def _encode_array(array: npt.NDArray[Any]) -> tuple[str, str]:
    return str(array.dtype), base64.b64encode(array.tobytes()).decode()


def _decode_array(dtype: str, data: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(data), dtype)

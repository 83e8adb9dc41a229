"""A reward model as a judge: a score for each response to a prompt, 0 where it is as good as shown.

Several of them make an ensemble. Adapters trained on one base share it in memory; another base is
loaded beside it. Left out: reading files, and what a score is good for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from upbring.data.chat.chat import Chat, make_chat
from upbring.data.read.records import Message
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.model.attach_adapter import attach_adapter, is_attachable
from upbring.model.heads import rewards
from upbring.model.load import LoadedModel, load
from upbring.model.packing import group_micro_batches
from upbring.model.roles import BASE
from upbring.runs.contract import Contract

Combination = Literal["mean", "worst", "cautious"]
ScoreArray = npt.NDArray[np.float64]

MAX_BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class ResponseGroup:
    """A prompt and K responses to it."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]


class ResponseScorer(Protocol):
    """A reward model, or several as one."""

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each question's responses; NaN where there is no score."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A role with a head on a model in memory, and how it is spoken to."""

    loaded: LoadedModel
    role: str
    chat: Chat
    offset: float = 0.0
    max_batch_tokens: int = MAX_BATCH_TOKENS

    @torch.no_grad()
    def score_batch(self, batch: Batch) -> Tensor:
        """Return the score `[N]` of every branch, less the offset."""
        roles = self.loaded.roles
        with roles.active(self.role):
            return rewards(self.loaded.model, roles.heads[self.role], batch) - self.offset

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each question's responses.

        What is longer than the model reads is cut at its end. NaN where nothing of a response is
        left, and where the template cannot render it.
        """
        scores = [np.full(len(each.responses), np.nan) for each in groups]
        trees = list(self._encode_groups(groups))
        for tree, values in zip(trees, self.score_trees(trees, poll=poll), strict=True):
            group_index, *response_index = map(int, tree.key.split())
            scores[group_index][response_index or slice(None)] = values
        return scores

    def score_trees(
        self, trees: Sequence[Tree], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each tree's branches."""
        scores: dict[int, ScoreArray] = {}
        for group in group_micro_batches(self.loaded.model, trees, self.max_batch_tokens).groups:
            poll()
            batch = make_batch([trees[i] for i in group]).to(self.loaded.model.device)
            sizes = [len(trees[i].branches) for i in group]
            values = self.score_batch(batch).double().cpu().numpy()
            scores |= zip(group, np.split(values, np.cumsum(sizes)[:-1]), strict=True)
        return [scores[i] for i in range(len(trees))]

    def _encode_groups(self, groups: Sequence[ResponseGroup]) -> Iterable[Tree]:
        """Yield trees within what the model reads, each with its question's place as its key.

        Where the template refuses one response of several, each makes a tree of its own.
        """
        rejected_keys: list[str] = []
        rows = ((q.prompt, q.responses, str(i)) for i, q in enumerate(groups))
        yield from self._truncate(
            self.chat.encode_comparisons(rows, on_reject=lambda key, _: rejected_keys.append(key))
        )
        single_responses = (
            (groups[int(key)].prompt, (response,), f"{key} {k}")
            for key in rejected_keys
            for k, response in enumerate(groups[int(key)].responses)
        )
        yield from self._truncate(
            self.chat.encode_comparisons(single_responses, on_reject=lambda *_: None)
        )

    def _truncate(self, trees: Iterable[Tree]) -> Iterable[Tree]:
        """Yield trees cut to what the model reads, but for those whose prompt leaves no room."""
        limit = self.loaded.model.max_positions
        for tree in trees:
            if limit is None or tree.longest_path <= limit:
                yield tree
            elif (room := limit - len(tree.prompt)) > 0:
                branches = (
                    replace(b, tokens=b.tokens[:room], weight=b.weight[:room])
                    for b in tree.branches
                )
                yield replace(tree, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several reward models whose scores become one."""

    members: tuple[RewardModel, ...]
    combination: Combination = "mean"
    uncertainty_weight: float = 1.0

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the combined scores `[K]` of each question's responses."""
        member_scores = [member.scores(groups, poll=poll) for member in self.members]
        return [
            combine_scores(
                np.stack(each), self.combination, uncertainty_weight=self.uncertainty_weight
            )
            for each in zip(*member_scores, strict=True)
        ]


def combine_scores(
    scores: ScoreArray, combination: Combination, *, uncertainty_weight: float = 1.0
) -> ScoreArray:
    """Return one score `[K]` of those of E models `[E, K]` (Coste et al. 2024, §3).

    Their standard deviation stands where the paper takes the variance, so that `uncertainty_weight` has no
    unit and the result scales as the scores do.

    >>> scores = np.array([[1.0, 0.0], [3.0, 0.0]])
    >>> [combine_scores(scores, how).tolist() for how in ("mean", "worst", "cautious")]
    [[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    if combination == "worst":
        worst: ScoreArray = scores.min(0)
        return worst
    mean: ScoreArray = scores.mean(0)
    return mean if combination == "mean" else mean - uncertainty_weight * scores.std(0)


def load_reward_models(
    names: Sequence[str],
    *,
    device: torch.device,
    compute_dtype: torch.dtype,
    log: Callable[[str], None],
) -> tuple[RewardModel, ...]:
    """Return the reward models that `names` mean; those on one base share it."""
    members: list[RewardModel] = []
    for number, name in enumerate(names):
        for member in members:
            if member.role == BASE and is_attachable(member.loaded, name, log=log):
                members.append(
                    attach_reward_model(member.loaded, name, f"reward_{number}", log=log)
                )
                break
        else:
            loaded = load(name, device=device, compute_dtype=compute_dtype, log=log)
            if loaded.head is not None:
                loaded.roles.add_head(BASE, loaded.head)
            members.append(_make_reward_model(loaded, BASE, loaded.contract, name=name))
    return tuple(members)


def attach_reward_model(
    loaded: LoadedModel, name: str, role: str, *, log: Callable[[str], None]
) -> RewardModel:
    """Return the reward model that `name` means, as a role beside others on a base in memory."""
    contract = attach_adapter(loaded, name, role, log=log)
    return _make_reward_model(loaded, role, contract, name=name)


def _make_reward_model(
    loaded: LoadedModel, role: str, contract: Contract | None, *, name: str
) -> RewardModel:
    """Return a role as a reward model, if it is one."""
    if role not in loaded.roles.heads:
        raise InputError(
            f"{name}: has no reward head, so it cannot score; train one with `upbring reward`"
        )
    if loaded.tokenizer is None:
        raise InputError(f"{name}: has no tokenizer; put tokenizer.json beside it")
    chat = make_chat(loaded.tokenizer, template=contract.template if contract else None)
    return RewardModel(loaded, role, chat, offset=contract.offset if contract else 0.0)

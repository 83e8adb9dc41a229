"""Reward models: a score for each response to a prompt.

A score is the head's output minus the contract's offset. Several reward models form an ensemble.
Adapters with the same base share it in memory; other bases are loaded separately. Left out: reading
data files, and the use of the scores.
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
from upbring.model.load import LoadedModel, QuantizationSetting, load
from upbring.model.packing import group_micro_batches
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.tracking import Track, no_tracking

Combination = Literal["mean", "worst", "cautious"]
ScoreArray = npt.NDArray[np.float64]

MAX_BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class ResponseGroup:
    """A prompt and K responses to it."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]


class ResponseScorer(Protocol):
    """A reward model, or an ensemble."""

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each group's responses; NaN means no score."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A role with a reward head on a loaded model, with its chat template and score offset."""

    loaded: LoadedModel
    role: str
    chat: Chat
    offset: float = 0.0
    max_batch_tokens: int = MAX_BATCH_TOKENS

    @torch.no_grad()
    def score_batch(self, batch: Batch) -> Tensor:
        """Return the score `[N]` of every branch, minus the offset."""
        roles = self.loaded.roles
        with roles.active(self.role):
            return rewards(self.loaded.model, roles.heads[self.role], batch) - self.offset

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each group's responses.

        Text beyond the context length is truncated at the end. A score is NaN if no token of the
        response is left, or if the template rejects it.
        """
        scores = [np.full(len(group.responses), np.nan) for group in groups]
        trees = list(self._encode_groups(groups))
        for tree, values in zip(trees, self.score_trees(trees, poll=poll), strict=True):
            group_index, *response_index = map(int, tree.key.split())
            scores[group_index][response_index or slice(None)] = values
        return scores

    def score_trees(
        self,
        trees: Sequence[Tree],
        *,
        poll: Callable[[], None] = lambda: None,
        track: Track = no_tracking,
    ) -> list[ScoreArray]:
        """Return the scores `[K]` of each tree's branches."""
        scores: dict[int, ScoreArray] = {}
        groups = list(group_micro_batches(self.loaded.model, trees, self.max_batch_tokens))
        for group in track(groups, total=len(groups), label="scoring"):
            poll()
            batch = make_batch([trees[i] for i in group]).to(self.loaded.model.device)
            sizes = [len(trees[i].branches) for i in group]
            values = self.score_batch(batch).double().cpu().numpy()
            scores |= zip(group, np.split(values, np.cumsum(sizes)[:-1]), strict=True)
        return [scores[i] for i in range(len(trees))]

    def _encode_groups(self, groups: Sequence[ResponseGroup]) -> Iterable[Tree]:
        """Yield trees within the context length; each tree's key is the index of its group.

        If the template rejects one response of a group, each response gets a separate tree.
        """
        rejected_keys: list[str] = []
        rows = ((group.prompt, group.responses, str(i)) for i, group in enumerate(groups))
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
        """Yield trees truncated to the context length; omit those whose prompt fills it."""
        limit = self.loaded.model.max_positions
        for tree in trees:
            if limit is None or tree.longest_path <= limit:
                yield tree
            elif (max_tokens := limit - len(tree.prompt)) > 0:
                branches = (
                    replace(b, tokens=b.tokens[:max_tokens], weight=b.weight[:max_tokens])
                    for b in tree.branches
                )
                yield replace(tree, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several reward models with combined scores."""

    members: tuple[RewardModel, ...]
    combination: Combination = "mean"
    uncertainty_weight: float = 1.0

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        """Return the combined scores `[K]` of each group's responses."""
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
    """Return the combined scores `[K]` of E models' scores `[E, K]` (Coste et al. 2024, §3).

    "cautious" uses the standard deviation instead of the paper's variance, so `uncertainty_weight`
    is dimensionless and the result scales with the scores.

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
    quantization: QuantizationSetting = "auto",
    track: Track = no_tracking,
) -> tuple[RewardModel, ...]:
    """Return the named reward models; adapters with the same base share it."""
    members: list[RewardModel] = []
    for number, name in enumerate(names):
        for member in members:
            if member.role == BASE and is_attachable(member.loaded, name, log=log):
                members.append(
                    attach_reward_model(member.loaded, name, f"reward_{number}", log=log)
                )
                break
        else:
            loaded = load(
                name,
                device=device,
                compute_dtype=compute_dtype,
                quantization=quantization,
                log=log,
                track=track,
            )
            if loaded.head is not None:
                loaded.roles.add_head(BASE, loaded.head)
            members.append(_make_reward_model(loaded, BASE, loaded.contract, name=name))
    return tuple(members)


def attach_reward_model(
    loaded: LoadedModel, name: str, role: str, *, log: Callable[[str], None]
) -> RewardModel:
    """Return the reward model `name` as an additional role on a loaded base."""
    contract = attach_adapter(loaded, name, role, log=log)
    return _make_reward_model(loaded, role, contract, name=name)


def _make_reward_model(
    loaded: LoadedModel, role: str, contract: Contract | None, *, name: str
) -> RewardModel:
    """Return the role as a reward model; raise if it has no head or no tokenizer."""
    if role not in loaded.roles.heads:
        raise InputError(
            f"{name}: has no reward head, so it cannot score; train one with `upbring reward`"
        )
    if loaded.tokenizer is None:
        raise InputError(f"{name}: has no tokenizer; put tokenizer.json into the folder")
    chat = make_chat(loaded.tokenizer, template=contract.template if contract else None)
    return RewardModel(loaded, role, chat, offset=contract.offset if contract else 0.0)

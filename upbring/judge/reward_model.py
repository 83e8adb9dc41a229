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
from upbring.model.attach_adapter import attach, is_attachable
from upbring.model.heads import rewards
from upbring.model.load import Loaded, load
from upbring.model.packing import grouped
from upbring.model.roles import BASE
from upbring.runs.contract import Contract

Combination = Literal["mean", "worst", "cautious"]
Scores = npt.NDArray[np.float64]

TOKENS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and K responses to it."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]


class ScoresResponses(Protocol):
    """A reward model, or several as one."""

    def scores(
        self, questions: Sequence[Question], *, poll: Callable[[], None] = lambda: None
    ) -> list[Scores]:
        """Return the scores `[K]` of each question's responses; NaN where there is no score."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A role with a head on a model in memory, and how it is spoken to."""

    loaded: Loaded
    role: str
    chat: Chat
    offset: float = 0.0
    tokens_at_once: int = TOKENS_AT_ONCE

    @torch.no_grad()
    def read(self, batch: Batch) -> Tensor:
        """Return the score `[N]` of every branch, less the offset."""
        roles = self.loaded.roles
        with roles.speaking(self.role):
            return rewards(self.loaded.model, roles.heads[self.role], batch) - self.offset

    def scores(
        self, questions: Sequence[Question], *, poll: Callable[[], None] = lambda: None
    ) -> list[Scores]:
        """Return the scores `[K]` of each question's responses.

        What is longer than the model reads is cut at its end. NaN where nothing of a response is
        left, and where the template cannot render it.
        """
        found = [np.full(len(each.responses), np.nan) for each in questions]
        trees = list(self._trees(questions))
        for tree, values in zip(trees, self.of_trees(trees, poll=poll), strict=True):
            question, *place = map(int, tree.key.split())
            found[question][place or slice(None)] = values
        return found

    def of_trees(
        self, trees: Sequence[Tree], *, poll: Callable[[], None] = lambda: None
    ) -> list[Scores]:
        """Return the scores `[K]` of each tree's branches."""
        found: dict[int, Scores] = {}
        for group in grouped(self.loaded.model, trees, self.tokens_at_once).groups:
            poll()
            batch = make_batch([trees[i] for i in group]).to(self.loaded.model.device)
            sizes = [len(trees[i].branches) for i in group]
            values = self.read(batch).double().cpu().numpy()
            found |= zip(group, np.split(values, np.cumsum(sizes)[:-1]), strict=True)
        return [found[i] for i in range(len(trees))]

    def _trees(self, questions: Sequence[Question]) -> Iterable[Tree]:
        """Yield trees within what the model reads, each with its question's place as its key.

        Where the template refuses one response of several, each makes a tree of its own.
        """
        refused: list[str] = []
        rows = ((q.prompt, q.responses, str(i)) for i, q in enumerate(questions))
        yield from self._short(
            self.chat.comparisons(rows, refuse=lambda key, _: refused.append(key))
        )
        alone = (
            (questions[int(key)].prompt, (response,), f"{key} {k}")
            for key in refused
            for k, response in enumerate(questions[int(key)].responses)
        )
        yield from self._short(self.chat.comparisons(alone, refuse=lambda *_: None))

    def _short(self, trees: Iterable[Tree]) -> Iterable[Tree]:
        """Yield trees cut to what the model reads, but for those whose prompt leaves no room."""
        limit = self.loaded.model.longest
        for tree in trees:
            if limit is None or tree.longest <= limit:
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
    combine: Combination = "mean"
    spread: float = 1.0

    def scores(
        self, questions: Sequence[Question], *, poll: Callable[[], None] = lambda: None
    ) -> list[Scores]:
        """Return the combined scores `[K]` of each question's responses."""
        every = [member.scores(questions, poll=poll) for member in self.members]
        return [
            combined(np.stack(each), self.combine, spread=self.spread)
            for each in zip(*every, strict=True)
        ]


def combined(scores: Scores, how: Combination, *, spread: float = 1.0) -> Scores:
    """Return one score `[K]` of those of E models `[E, K]` (Coste et al. 2024, §3).

    Their standard deviation stands where the paper takes the variance, so that `spread` has no
    unit and the result scales as the scores do.

    >>> scores = np.array([[1.0, 0.0], [3.0, 0.0]])
    >>> [combined(scores, how).tolist() for how in ("mean", "worst", "cautious")]
    [[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    if how == "worst":
        worst: Scores = scores.min(0)
        return worst
    mean: Scores = scores.mean(0)
    return mean if how == "mean" else mean - spread * scores.std(0)


def load_rewards(
    names: Sequence[str],
    *,
    device: torch.device,
    compute: torch.dtype,
    notice: Callable[[str], None],
) -> tuple[RewardModel, ...]:
    """Return the reward models that `names` mean; those on one base share it."""
    members: list[RewardModel] = []
    for number, name in enumerate(names):
        for first in members:
            if first.role == BASE and is_attachable(first.loaded, name, notice=notice):
                members.append(attached(first.loaded, name, f"reward_{number}", notice=notice))
                break
        else:
            own = load(name, device=device, compute=compute, notice=notice)
            if own.head is not None:
                own.roles.add_head(BASE, own.head)
            members.append(_reward_model(own, BASE, own.contract, name=name))
    return tuple(members)


def attached(loaded: Loaded, name: str, role: str, *, notice: Callable[[str], None]) -> RewardModel:
    """Return the reward model that `name` means, as a role beside others on a base in memory."""
    agreed = attach(loaded, name, role, notice=notice)
    return _reward_model(loaded, role, agreed, name=name)


def _reward_model(loaded: Loaded, role: str, agreed: Contract | None, *, name: str) -> RewardModel:
    """Return a role as a reward model, if it is one."""
    if role not in loaded.roles.heads:
        raise InputError(
            f"{name}: has no reward head, so it cannot score; train one with `upbring reward`"
        )
    if loaded.tokenizer is None:
        raise InputError(f"{name}: has no tokenizer; put tokenizer.json beside it")
    chat = make_chat(loaded.tokenizer, template=agreed.template if agreed else None)
    return RewardModel(loaded, role, chat, offset=agreed.offset if agreed else 0.0)

"""What rewards the policy's responses: reward models, rules by name, penalties, a user's function.

A reward model of the policy's own base and template is a role beside it, and reads the very tokens
that were drawn. Any other is loaded by itself, and the text is rendered and encoded anew for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from upbring.algorithms.rollout_batch import Reward, Rollout, regrown
from upbring.data.read import formats
from upbring.data.read.records import Message, Origin, Prompt
from upbring.data.read.rows import rows
from upbring.errors import InputError, nearest, shown
from upbring.judge.reward_model import (
    Combination,
    Question,
    RewardModel,
    attached,
    combined,
    load_rewards,
)
from upbring.model.attach_adapter import is_attachable
from upbring.model.load import Loaded
from upbring.rules.bullets import is_list
from upbring.rules.lengths import is_one_sentence
from upbring.rules.refusal import refusal
from upbring.rules.valid_json import is_json
from upbring.stages.context import Cast
from upbring.toyworld.grading import grade
from upbring.toyworld.tasks import Task, from_row

GOLD = "builtin:gold"  # the name of the embedded world's own reward

Rule = Callable[[str], bool]
Scores = npt.NDArray[np.float64]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "is_json": is_json,
        "is_list": is_list,
        "is_one_sentence": is_one_sentence,
        "is_refusal": lambda text: refusal(text) != "none",
    }
)


@dataclass(frozen=True, eq=False)
class Read:
    """A reward model that reads the tokens as they were drawn."""

    model: RewardModel
    poll: Callable[[], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the score of each response."""
        found = self.model.of_trees(list(regrown(rollouts)), poll=self.poll)
        return [float(score) for scores in found for score in scores]


@dataclass(frozen=True, eq=False)
class Reread:
    """A reward model that speaks otherwise: it reads the text, rendered and encoded anew."""

    name: str
    model: RewardModel
    talks: Callable[[], Mapping[str, tuple[Message, ...]]]  # the dialogue behind each prompt's key
    poll: Callable[[], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the score of each response."""
        talks = self.talks()
        asked = [Question(talks[rollout.key], (rollout.text,)) for rollout in rollouts]
        found = [float(scores[0]) for scores in self.model.scores(asked, poll=self.poll)]
        for rollout, score in zip(rollouts, found, strict=True):
            if np.isnan(score):
                raise InputError(
                    f"{self.name}: cannot score the response {shown(rollout.text)} to "
                    f"{rollout.key}: its template refuses it, or it is too long for the model; "
                    "use a reward model with the policy's own template"
                )
        return found


@dataclass(eq=False)
class Gold:
    """The truth of the embedded world, which knows its own prompts alone."""

    files: Sequence[Path]
    tasks: dict[str, Task] = field(default_factory=dict)

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the gold reward of each response."""
        for path in () if self.tasks else self.files:
            for row in rows(path):
                if "task" in row.fields:
                    self.tasks[str(Origin(str(path), row.line))] = from_row(row.fields)
        for rollout in rollouts:
            if rollout.key not in self.tasks:
                raise InputError(
                    f"{rollout.key}: has no `task`, and {GOLD} knows the embedded world's own "
                    "prompts alone; take them from `upbring nursery export`"
                )
        return [grade(self.tasks[rollout.key], rollout.text).reward for rollout in rollouts]


@dataclass(frozen=True, eq=False)
class Judged:
    """Reward models, rules and penalties as one reward."""

    models: tuple[tuple[Reward, float], ...]
    rules: tuple[tuple[Rule, float], ...] = ()
    combine: Combination | Literal["sum"] = "sum"
    spread: float = 1.0
    length_penalty: float = 0.0
    missing_stop_penalty: float = 0.0

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the reward of each response."""
        total = np.zeros(len(rollouts))
        if self.models:
            each = np.array([weight * np.asarray(model(rollouts)) for model, weight in self.models])
            if self.combine == "sum":
                total += each.sum(0)
            else:
                total += combined(each, self.combine, spread=self.spread)
        for rule, weight in self.rules:
            total += weight * np.array([rule(rollout.text) for rollout in rollouts], np.float64)
        total -= self.length_penalty * np.array([len(rollout.tokens) for rollout in rollouts])
        total -= self.missing_stop_penalty * np.array([not r.has_ended for r in rollouts])
        return [float(value) for value in total]


@dataclass(eq=False)
class Talks:
    """The dialogues of all prompt files by their rows, read when somebody first asks."""

    cast: Cast
    found: dict[str, tuple[Message, ...]] = field(default_factory=dict)

    def __call__(self) -> Mapping[str, tuple[Message, ...]]:
        """Return each prompt's messages by its row's key."""
        settings = self.cast.settings
        if not self.found:
            for path in (*settings.prompts, *settings.held_out):
                for record in formats.read(path, Prompt, format=settings.format):
                    self.found[str(record.origin)] = record.messages
        return self.found


def rewarding(cast: Cast, resident: Loaded) -> Reward:
    """Return what the settings reward, as roles on the base in memory where that is possible."""
    settings = cast.settings
    models = [named(text, "reward") for text in settings.reward]
    if not models and not settings.rule and cast.reward is None:
        raise InputError("reward: none is given; name a reward model's run, or a --rule")
    spoken = tuple(
        (speaking(cast, resident, name, role=f"reward_{number}"), weight)
        for number, (name, weight) in enumerate(models)
    )
    return Judged(
        models=spoken if cast.reward is None else (*spoken, (cast.reward, 1.0)),
        rules=tuple(_rule(text) for text in settings.rule),
        combine=settings.combine,
        spread=settings.spread,
        length_penalty=settings.length_penalty,
        missing_stop_penalty=settings.missing_stop_penalty,
    )


def speaking(cast: Cast, resident: Loaded, name: str, *, role: str) -> Reward:
    """Return the reward model that `name` means, beside the policy if it is of the same base."""
    if name == GOLD:
        return Gold((*cast.settings.prompts, *cast.settings.held_out))
    if not is_attachable(resident, name, notice=cast.say):
        (model,) = load_rewards(
            [name], device=cast.machine.device, compute=cast.machine.compute, notice=cast.say
        )
        cast.say(f"{name}: is of another base, so it is in memory by itself, and reads text anew")
        return Reread(name, model, Talks(cast), cast.poll)
    model = attached(resident, name, role, notice=cast.say)
    chat = cast.speech.chat
    if chat is not None and model.chat.template == chat.template:
        return Read(model, cast.poll)
    cast.say(f"{name}: has another template, so responses are rendered anew for it")
    return Reread(name, model, Talks(cast), cast.poll)


def named(text: str, setting: str) -> tuple[str, float]:
    """Return the name and the weight of NAME or NAME=WEIGHT.

    >>> named("runs/reward-1=0.5", "reward"), named("runs/reward-1", "reward")
    (('runs/reward-1', 0.5), ('runs/reward-1', 1.0))
    """
    name, sign, weight = text.rpartition("=")
    if not sign:
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise InputError(
            f"{setting}: {shown(text)} has no number after the =; write it as {name}=0.5"
        ) from None


def _rule(text: str) -> tuple[Rule, float]:
    name, weight = named(text, "rule")
    if name not in RULES:
        meant = nearest(name, RULES)
        hint = f"did you mean {meant}?" if meant else f"use {', '.join(RULES)}"
        raise InputError(f"rule: {shown(name)} is unknown; {hint}")
    return RULES[name], weight

"""The reward of a response: reward models, rules by name, penalties, a user's function.

A reward model with the policy's base and template is a role on that base and scores the sampled
tokens. Any other is loaded separately, and the text is rendered and tokenized again for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from upbring.algorithms.rollout_batch import Rollout, trees_of
from upbring.algorithms.sample_round import RewardFunction
from upbring.data.read import formats
from upbring.data.read.folders import expand_folders
from upbring.data.read.records import Message, Origin, Prompt
from upbring.data.read.rows import read_rows
from upbring.errors import InputError, format_value, nearest
from upbring.judge.reward_model import (
    Combination,
    ResponseGroup,
    RewardModel,
    attach_reward_model,
    combine_scores,
    load_reward_models,
)
from upbring.model.attach_adapter import is_attachable
from upbring.model.load import LoadedModel
from upbring.rules.bullets import is_list
from upbring.rules.lengths import is_one_sentence
from upbring.rules.refusal import classify_refusal
from upbring.rules.valid_json import is_json
from upbring.stages.context import StageContext
from upbring.toyworld.grading import grade
from upbring.toyworld.tasks import Task, from_row

GOLD = "builtin:gold"  # the gold reward of the toy world

TextRule = Callable[[str], bool]
Scores = npt.NDArray[np.float64]

RULES: Mapping[str, TextRule] = MappingProxyType(
    {
        "is_json": is_json,
        "is_list": is_list,
        "is_one_sentence": is_one_sentence,
        "is_refusal": lambda text: classify_refusal(text) != "none",
    }
)


@dataclass(frozen=True, eq=False)
class TokenReward:
    """A reward model that scores the sampled tokens."""

    model: RewardModel
    poll: Callable[[], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the score of each response."""
        scores_per_tree = self.model.score_trees(trees_of(rollouts), poll=self.poll)
        return [float(score) for scores in scores_per_tree for score in scores]


@dataclass(frozen=True, eq=False)
class TextReward:
    """A reward model with another base or template: text is rendered and tokenized for it."""

    name: str
    model: RewardModel
    dialogues: Callable[[], Mapping[str, tuple[Message, ...]]]  # by the keys of prompts
    poll: Callable[[], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the score of each response."""
        dialogues = self.dialogues()
        questions = [ResponseGroup(dialogues[rollout.key], (rollout.text,)) for rollout in rollouts]
        values = [float(scores[0]) for scores in self.model.scores(questions, poll=self.poll)]
        for rollout, score in zip(rollouts, values, strict=True):
            if np.isnan(score):
                raise InputError(
                    f"{self.name}: cannot score the response {format_value(rollout.text)} to "
                    f"{rollout.key}: its template rejects it, or it is too long for the model; "
                    "use a reward model with the policy's own template"
                )
        return values


@dataclass(eq=False)
class GoldReward:
    """The gold reward of the toy world, which can only score the toy world's own prompts."""

    files: Sequence[Path]
    tasks: dict[str, Task] = field(default_factory=dict)

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the gold reward of each response."""
        for path in () if self.tasks else self.files:
            for row in read_rows(path):
                if "task" in row.fields:
                    self.tasks[str(Origin(str(path), row.line))] = from_row(row.fields)
        for rollout in rollouts:
            if rollout.key not in self.tasks:
                raise InputError(
                    f"{rollout.key}: has no `task`, and {GOLD} can only score the toy world's own "
                    "prompts; use prompts from `upbring toyworld export`"
                )
        return [grade(self.tasks[rollout.key], rollout.text).reward for rollout in rollouts]


@dataclass(frozen=True, eq=False)
class CombinedReward:
    """Reward models, rules and penalties as one reward."""

    models: tuple[tuple[RewardFunction, float], ...]
    rules: tuple[tuple[TextRule, float], ...] = ()
    combine: Combination | Literal["sum"] = "sum"
    spread: float = 1.0
    length_penalty: float = 0.0
    missing_eos_penalty: float = 0.0

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the reward of each response."""
        total = np.zeros(len(rollouts))
        if self.models:
            weighted = np.array(
                [weight * np.asarray(model(rollouts)) for model, weight in self.models]
            )
            if self.combine == "sum":
                total += weighted.sum(0)
            else:
                total += combine_scores(weighted, self.combine, uncertainty_weight=self.spread)
        for rule, weight in self.rules:
            total += weight * np.array([rule(rollout.text) for rollout in rollouts], np.float64)
        total -= self.length_penalty * np.array([len(rollout.tokens) for rollout in rollouts])
        total -= self.missing_eos_penalty * np.array([not r.has_ended for r in rollouts])
        return [float(value) for value in total]


@dataclass(eq=False)
class PromptDialogues:
    """The dialogues of all prompt files by row, read on first use."""

    context: StageContext
    dialogues: dict[str, tuple[Message, ...]] = field(default_factory=dict)

    def __call__(self) -> Mapping[str, tuple[Message, ...]]:
        """Return each prompt's messages by its row's key."""
        settings = self.context.settings
        if not self.dialogues:
            for path in expand_folders((*settings.prompts, *settings.held_out)):
                for record in formats.read_records(path, Prompt, format=settings.format):
                    self.dialogues[str(record.origin)] = record.messages
        return self.dialogues


def make_reward(context: StageContext, frozen_base: LoadedModel) -> RewardFunction:
    """Return the reward of the settings; its models are roles on the base where possible."""
    settings = context.settings
    models = [parse_weighted_name(text, "reward_model") for text in settings.reward_model]
    if not models and not settings.rule and context.reward is None:
        raise InputError(
            "reward_model: none is given, and no rule; name a reward model, or a --rule"
        )
    rewards = tuple(
        (load_reward(context, frozen_base, name, role=f"reward_{number}"), weight)
        for number, (name, weight) in enumerate(models)
    )
    return CombinedReward(
        models=rewards if context.reward is None else (*rewards, (context.reward, 1.0)),
        rules=tuple(_parse_rule(text) for text in settings.rule),
        combine=settings.combine,
        spread=settings.spread,
        length_penalty=settings.length_penalty,
        missing_eos_penalty=settings.missing_eos_penalty,
    )


def load_reward(
    context: StageContext, frozen_base: LoadedModel, name: str, *, role: str
) -> RewardFunction:
    """Return the reward model `name`, as a role on the policy's base if it has the same base."""
    if name == GOLD:
        return GoldReward(expand_folders((*context.settings.prompts, *context.settings.held_out)))
    if not is_attachable(frozen_base, name, log=context.log):
        (model,) = load_reward_models(
            [name],
            device=context.machine.device,
            compute_dtype=context.machine.compute_dtype,
            log=context.log,
            track=context.track,
        )
        context.log(
            f"{name}: has another base, so it is loaded separately and text is tokenized for it"
        )
        return TextReward(name, model, PromptDialogues(context), context.poll)
    model = attach_reward_model(frozen_base, name, role, log=context.log)
    chat = context.preprocessor.chat
    if chat is not None and model.chat.template == chat.template:
        return TokenReward(model, context.poll)
    context.log(f"{name}: has another template, so responses are rendered again for it")
    return TextReward(name, model, PromptDialogues(context), context.poll)


def parse_weighted_name(text: str, setting: str) -> tuple[str, float]:
    """Return the name and the weight of NAME or NAME=WEIGHT.

    >>> parse_weighted_name("runs/reward-1=0.5", "reward_model")
    ('runs/reward-1', 0.5)
    >>> parse_weighted_name("runs/reward-1", "reward_model")
    ('runs/reward-1', 1.0)
    """
    name, separator, weight = text.rpartition("=")
    if not separator:
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise InputError(
            f"{setting}: {format_value(text)} has no number after the =; write it as {name}=0.5"
        ) from None


def _parse_rule(text: str) -> tuple[TextRule, float]:
    name, weight = parse_weighted_name(text, "rule")
    if name not in RULES:
        suggestion = nearest(name, RULES)
        hint = f"did you mean {suggestion}?" if suggestion else f"use {', '.join(RULES)}"
        raise InputError(f"rule: {format_value(name)} is unknown; {hint}")
    return RULES[name], weight

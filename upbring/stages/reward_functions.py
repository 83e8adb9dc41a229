"""The reward of a response: reward models, rules by name, penalties, functions of the user.

A reward model with the policy's base and template is a role on that base and scores the sampled
tokens. Any other is loaded separately, and the text is rendered and tokenized again for it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from upbring.algorithms.rollout_batch import Rollout, trees_of
from upbring.algorithms.sample_round import RewardFunction, SourceScores
from upbring.data.read.folders import expand_folders
from upbring.data.read.prompt_rows import PromptRows
from upbring.data.trees.store import cache_folder
from upbring.data.trees.tree import Trees
from upbring.errors import InputError, format_value
from upbring.judge.load_function import load_function, make_function
from upbring.judge.reward_model import (
    Combination,
    ResponseGroup,
    RewardModel,
    attach_reward_model,
    combine_scores,
    load_reward_models,
)
from upbring.judge.row_function import RowFunction
from upbring.model.attach_adapter import is_attachable
from upbring.model.load import LoadedModel
from upbring.stages.context import StageContext, WeightedFunctions
from upbring.toyworld.grading import grade
from upbring.toyworld.tasks import from_row

GOLD = "builtin:gold"  # the gold reward of the toy world

Scores = npt.NDArray[np.float64]
# A function of the caller of `train`, or the name of one; with a weight, or 1.
RewardSource = Callable[..., Any] | str | tuple[Callable[..., Any] | str, float]


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
    rows: PromptRows
    poll: Callable[[], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the score of each response."""
        questions = [ResponseGroup(self.rows[r.key].messages, (r.text,)) for r in rollouts]
        values = [float(scores[0]) for scores in self.model.scores(questions, poll=self.poll)]
        for rollout, score in zip(rollouts, values, strict=True):
            if np.isnan(score):
                raise InputError(
                    f"{self.name}: cannot score the response {format_value(rollout.text)} to "
                    f"{rollout.key}: its template rejects it, or it is too long for the model; "
                    "use a reward model with the policy's own template"
                )
        return values


@dataclass(frozen=True, eq=False)
class GoldReward:
    """The gold reward of the toy world, which can only score the toy world's own prompts."""

    rows: PromptRows

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the gold reward of each response."""
        return [self._grade(rollout) for rollout in rollouts]

    def _grade(self, rollout: Rollout) -> float:
        columns = self.rows[rollout.key].columns
        if "task" not in columns:
            raise InputError(
                f"{rollout.key}: has no `task`, and {GOLD} can only score the toy world's own "
                "prompts; use prompts from `upbring toyworld export`"
            )
        return grade(from_row(columns), rollout.text).reward


@dataclass(frozen=True, eq=False)
class FunctionReward:
    """A rule or a function of the user, called with one response at a time and its row."""

    function: RowFunction
    rows: PromptRows
    poll: Callable[[], None]
    log: Callable[[str], None]

    def __call__(self, rollouts: Sequence[Rollout], /) -> list[float]:
        """Return the function's number for each response."""
        values = []
        for rollout in rollouts:
            self.poll()
            values.append(self.function(self.rows[rollout.key], rollout.text, log=self.log))
        return values

    def check_rows(self, trees: Trees) -> None:
        """Raise if a rule cannot read the row of one of the prompts."""
        if self.function.rule is not None and self.function.rule.reads_row:
            for index in range(len(trees)):
                self.function.check_row(self.rows[trees[index].key])


@dataclass(frozen=True, eq=False)
class CombinedReward:
    """Reward models, functions and penalties as one reward."""

    models: tuple[tuple[RewardFunction, float], ...]  # with weights
    functions: tuple[tuple[RewardFunction, float], ...] = ()
    combine: Combination | Literal["sum"] = "sum"
    spread: float = 1.0
    length_penalty: float = 0.0
    missing_eos_penalty: float = 0.0
    source_names: tuple[str, ...] = ()  # S: of the models, then of the functions

    def __call__(self, rollouts: Sequence[Rollout], /) -> SourceScores:
        """Return the reward of each response."""
        total = np.zeros(len(rollouts))
        each = [
            [np.asarray(source(rollouts), np.float64) for source, _ in sources]
            for sources in (self.models, self.functions)
        ]  # of [N]
        if self.models:
            weighted = np.array([w * s for (_, w), s in zip(self.models, each[0], strict=True)])
            if self.combine == "sum":
                total += weighted.sum(0)
            else:
                total += combine_scores(weighted, self.combine, uncertainty_weight=self.spread)
        for (_, weight), scores in zip(self.functions, each[1], strict=True):
            total += weight * scores
        total -= self.length_penalty * np.array([len(rollout.tokens) for rollout in rollouts])
        total -= self.missing_eos_penalty * np.array([not r.has_ended for r in rollouts])
        sources = np.stack([*each[0], *each[1]], 1)  # [N, S]
        return SourceScores((float(value) for value in total), torch.from_numpy(sources))


def make_reward(context: StageContext, frozen_base: LoadedModel) -> CombinedReward:
    """Return the reward of the settings; its models are roles on the base where possible."""
    settings = context.settings
    models = [parse_weighted_name(text, "reward_model") for text in settings.reward_model]
    if not models and not context.reward_functions:
        raise InputError(
            "reward_model: none is given, and no reward_function; name a reward model, or a "
            "--reward-function"
        )
    rows = make_prompt_rows(context)
    functions = tuple(
        (FunctionReward(function, rows, context.poll, context.log), weight)
        for function, weight in context.reward_functions
    )
    for function, _ in functions:
        function.check_rows(context.dataset.main)
        function.check_rows(context.dataset.held_out)
    return CombinedReward(
        models=tuple(
            (load_reward(context, frozen_base, name, role=f"reward_{number}"), weight)
            for number, (name, weight) in enumerate(models)
        ),
        functions=functions,
        combine=settings.combine,
        spread=settings.spread,
        length_penalty=settings.length_penalty,
        missing_eos_penalty=settings.missing_eos_penalty,
        source_names=short_names(
            [*(name for name, _ in models), *(f.name for f, _ in context.reward_functions)]
        ),
    )


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names for metrics: without folders and files, each once.

    >>> short_names(["runs/reward-1", "rewards.py:correct", "json", "other.py:correct"])
    ('reward-1', 'correct', 'json', 'correct-2')
    """
    found: list[str] = []
    for name in names:
        short = re.split(r"[/\\:]", name.rstrip("/\\"))[-1]
        same = sum(each == short or each.startswith(f"{short}-") for each in found)
        found.append(short if short not in found else f"{short}-{same + 1}")
    return tuple(found)


def make_prompt_rows(context: StageContext) -> PromptRows:
    """Return the rows of all prompt files by key, read on first use."""
    settings = context.settings
    return PromptRows(
        expand_folders((*settings.prompts, *settings.held_out)),
        partial(cache_folder, log=context.log),
        settings.format,
        context.poll,
    )


def load_functions(names: Sequence[str], rewards: Sequence[RewardSource] = ()) -> WeightedFunctions:
    """Return the functions of the setting and those of the caller, with their weights."""
    functions: list[tuple[RowFunction, float]] = []
    for source in (*names, *rewards):
        given, weight = source if isinstance(source, tuple) else (source, 1.0)
        if isinstance(given, str):
            name, own_weight = parse_weighted_name(given, "reward_function")
            functions.append((load_function(name, "reward_function"), weight * own_weight))
        else:
            functions.append((make_function(given, "rewards"), weight))
    return tuple(functions)


def load_reward(
    context: StageContext, frozen_base: LoadedModel, name: str, *, role: str
) -> RewardFunction:
    """Return the reward model `name`, as a role on the policy's base if it has the same base."""
    if name == GOLD:
        return GoldReward(make_prompt_rows(context))
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
        return TextReward(name, model, make_prompt_rows(context), context.poll)
    model = attach_reward_model(frozen_base, name, role, log=context.log)
    chat = context.preprocessor.chat
    if chat is not None and model.chat.template == chat.template:
        return TokenReward(model, context.poll)
    context.log(f"{name}: has another template, so responses are rendered again for it")
    return TextReward(name, model, make_prompt_rows(context), context.poll)


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

"""A reward model as a judge, for evaluations and for collecting rankings."""

from collections.abc import Sequence

import torch

from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Scorer
from upbring.judge.reward_model import ResponseGroup, RewardModel, load_reward_models
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import weights_sha256
from upbring.runs.results import find_judge_quality
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.model import ModelSettings
from upbring.stages.collection.collect import AnsweredPrompt, Ranker
from upbring.tracking import Track, no_tracking
from upbring.train import devices

GROUPS_AT_ONCE = 64  # prompts that are scored between two updates of the progress

ComputeSettings = EvaluateSettings | ModelSettings  # both have dtype, device and threads


class LazyRewardModel:
    """A reward model that is loaded on first use."""

    def __init__(self, name: str, settings: ComputeSettings, track: Track) -> None:
        self.name, self.settings, self.track = name, settings, track
        self.model: RewardModel | None = None

    def scores(self, groups: Sequence[ResponseGroup]) -> list[list[float]]:
        """Return the scores of each group's responses."""
        if self.model is None:
            model_settings = ModelSettings(
                model=self.name,
                dtype=self.settings.dtype,
                device=self.settings.device,
                threads=self.settings.threads,
            )
            machine = devices.prepare(model_settings)
            device, compute = machine.device, machine.compute_dtype
            (self.model,) = load_reward_models(
                [self.name],
                device=device,
                compute_dtype=compute,
                log=lambda _: None,
                track=self.track,
            )
        with torch.no_grad():
            return [scores.tolist() for scores in self.model.scores(groups)]


def make_reward_scorer(
    settings: ComputeSettings, name: str, *, track: Track = no_tracking
) -> Scorer:
    """Return a reward model as a judge of preferences."""
    reward_model = LazyRewardModel(name, settings, track)

    def score_pairs(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [
            score
            for (score,) in reward_model.scores([ResponseGroup(p, (text,)) for p, text in pairs])
        ]

    identity = f"reward {weights_sha256(locate_model(name))}"
    return Scorer(name, identity, score_pairs, quality=find_judge_quality(name))


def make_reward_ranker(
    settings: ComputeSettings, name: str, *, track: Track = no_tracking
) -> Ranker:
    """Return a reward model as a ranker: a higher score is better, equal scores are ties."""
    reward_model = LazyRewardModel(name, settings, track)

    def rank_answers(answered: Sequence[AnsweredPrompt]) -> list[tuple[int, ...]]:
        groups = [ResponseGroup(each.prompt, each.answers) for each in answered]
        starts = range(0, len(groups), GROUPS_AT_ONCE)
        label = f"{name}: ranking, batches of {GROUPS_AT_ONCE} prompts"
        return [
            rank_scores(scores)
            for start in track(starts, total=len(starts), label=label)
            for scores in reward_model.scores(groups[start : start + GROUPS_AT_ONCE])
        ]

    return rank_answers


def rank_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """Return the rank of each score, 1 for the highest.

    >>> rank_scores([0.2, 0.9, 0.2])
    (2, 1, 2)
    """
    order = sorted(set(scores), reverse=True)
    return tuple(order.index(score) + 1 for score in scores)

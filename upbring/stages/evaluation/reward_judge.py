"""A reward model introduced as a judge: to evaluation, which compares, and to whoever collects."""

from collections.abc import Sequence

import torch

from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Scorer
from upbring.judge.reward_model import Question, RewardModel, load_rewards
from upbring.model.load import weights_sha256
from upbring.runs.find_model import locate
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.model import ModelSettings
from upbring.stages.collection.collect import Asked, Ranks
from upbring.train import devices

Machined = EvaluateSettings | CollectSettings  # which say where and how to compute


class Late:
    """A reward model that is loaded when it is first asked."""

    def __init__(self, name: str, settings: Machined) -> None:
        self.name, self.settings = name, settings
        self.model: RewardModel | None = None

    def scores(self, questions: Sequence[Question]) -> list[list[float]]:
        """Return the scores of each question's responses."""
        if self.model is None:
            asked = ModelSettings(
                model=self.name,
                precision=self.settings.precision,
                device=self.settings.device,
                threads=self.settings.threads,
            )
            machine = devices.prepare(asked)
            device, compute = machine.device, machine.compute
            (self.model,) = load_rewards(
                [self.name], device=device, compute=compute, notice=lambda _: None
            )
        with torch.no_grad():
            return [each.tolist() for each in self.model.scores(questions)]


def scorer(settings: Machined, name: str) -> Scorer:
    """Return a reward model as a judge of preferences."""
    late = Late(name, settings)

    def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [one for (one,) in late.scores([Question(p, (text,)) for p, text in pairs])]

    return Scorer(name, f"reward {weights_sha256(locate(name))}", scores)


def by_reward(settings: Machined, name: str) -> Ranks:
    """Return a reward model as one who ranks: the higher score is better, equal ones are ties."""
    late = Late(name, settings)

    def ranks(asked: Sequence[Asked]) -> list[tuple[int, ...]]:
        found = late.scores([Question(each.prompt, each.answers) for each in asked])
        return [ranked(scores) for scores in found]

    return ranks


def ranked(scores: Sequence[float]) -> tuple[int, ...]:
    """Return the rank of each score, 1 for the highest.

    >>> ranked([0.2, 0.9, 0.2])
    (2, 1, 2)
    """
    order = sorted(set(scores), reverse=True)
    return tuple(order.index(score) + 1 for score in scores)

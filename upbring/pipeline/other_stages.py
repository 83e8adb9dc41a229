"""Stages that do not train: writing the toy world to files, and collecting rankings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.read.records import SYNTHETIC_PREFIX
from upbring.errors import InputError
from upbring.pipeline.runner import Log, StageFunction, WaitingError
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.toyworld import ToyworldSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import AnsweredPrompt, Ranker, collect, rankings_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_ranker
from upbring.toyworld.annotators import annotators
from upbring.toyworld.export import export
from upbring.toyworld.tasks import from_row
from upbring.tracking import Track, no_tracking


def write_toyworld(resolved: Resolved[ToyworldSettings], folder: Path, log: Log) -> None:
    """Write the files of the toy world."""
    settings = resolved.settings
    counts = export(folder, seed=settings.seed, characters=settings.characters)
    log(f"{folder}: {sum(counts.values()):,} rows in {len(counts)} files, all synthetic")


def collect_rankings(
    resolved: Resolved[CollectSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Collect rankings; raise `WaitingError` if people have to rank first."""
    settings = resolved.settings
    ranker, annotator = make_ranker(settings, track=track)
    if collect(settings, folder, ranker=ranker, annotator=annotator, log=log, track=track) is None:
        raise WaitingError(rankings_waiting_text(folder))


def make_ranker(
    settings: CollectSettings, *, track: Track = no_tracking
) -> tuple[Ranker | None, str]:
    """Return the ranker and its name; the ranker is None if people rank."""
    if settings.by == "people":
        return None, "people"
    if settings.by == "annotators":
        return SimulatedRanker(settings.seed), f"{SYNTHETIC_PREFIX} annotators"
    if settings.judge is None:
        raise InputError("judge: required with by: judge, and not given; name a reward model")
    return make_reward_ranker(settings, settings.judge, track=track), settings.judge


@dataclass(frozen=True, slots=True)
class SimulatedRanker:
    """The simulated annotators of the toy world, taking turns. They need each prompt's task."""

    seed: int

    def __call__(self, answered: Sequence[AnsweredPrompt]) -> list[tuple[int, ...]]:
        """Return the ranks of each prompt's answers."""
        group = annotators(seed=self.seed)
        ranks = []
        for index, each in enumerate(answered):
            row = json.loads(each.row) if each.row else {}
            if "task" not in row:
                raise InputError(
                    "by: the simulated annotators can only rank answers to the toy world's own "
                    "prompts; use prompts from its files, or let people or a judge rank"
                )
            annotator = group[index % len(group)]
            ranks.append(annotator.rank(from_row(row), each.answers, index=index))
        return ranks


STAGE_FUNCTIONS: dict[str, StageFunction] = {
    "toyworld": write_toyworld,
    "collect": collect_rankings,
}

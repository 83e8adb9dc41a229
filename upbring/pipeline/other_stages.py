"""Stages that do not train: the embedded world as files, and rankings collected from somebody."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.read.records import SYNTHETIC
from upbring.errors import InputError
from upbring.pipeline.runner import Say, WaitingError, Work
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.toyworld import NurserySettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import Asked, Ranks, collect, waiting_text
from upbring.stages.evaluation.reward_judge import by_reward
from upbring.toyworld.annotators import annotators
from upbring.toyworld.export import export
from upbring.toyworld.tasks import from_row


def write_world(resolved: Resolved[NurserySettings], folder: Path, say: Say) -> None:
    """Write the embedded world."""
    settings = resolved.settings
    counts = export(folder, seed=settings.seed, characters=settings.characters)
    say(f"{folder}: {sum(counts.values()):,} rows in {len(counts)} files, all of them invented")


def gather(resolved: Resolved[CollectSettings], folder: Path, say: Say) -> None:
    """Collect rankings; where people rank, say what to open and wait."""
    settings = resolved.settings
    ranks, who = ranking(settings)
    if collect(settings, folder, ranks=ranks, who=who, say=say) is None:
        raise WaitingError(waiting_text(folder))


def ranking(settings: CollectSettings) -> tuple[Ranks | None, str]:
    """Return who ranks, and their name; people are nobody yet."""
    if settings.by == "people":
        return None, "people"
    if settings.by == "annotators":
        return Simulated(settings.seed), f"{SYNTHETIC} annotators"
    if settings.judge is None:
        raise InputError("judge: required and not given where a judge ranks; name a reward model")
    return by_reward(settings, settings.judge), settings.judge


@dataclass(frozen=True, slots=True)
class Simulated:
    """The embedded world's annotators, each asked in turn. They need to know the task."""

    seed: int

    def __call__(self, asked: Sequence[Asked]) -> list[tuple[int, ...]]:
        """Return the ranks of each prompt's answers."""
        group = annotators(seed=self.seed)
        found = []
        for index, each in enumerate(asked):
            row = json.loads(each.row) if each.row else {}
            if "task" not in row:
                raise InputError(
                    "by: the simulated annotators know the embedded world's own prompts alone; "
                    "take them from its files, or let people or a judge rank"
                )
            who = group[index % len(group)]
            found.append(who.rank(from_row(row), each.answers, index=index))
        return found


WORKS: dict[str, Work] = {"nursery": write_world, "collect": gather}

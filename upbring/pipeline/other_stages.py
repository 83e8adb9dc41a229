"""Stages that do not train: writing the toy world, and collecting preferences."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.read.records import SYNTHETIC_PREFIX
from upbring.errors import InputError
from upbring.pipeline.runner import Log, StageFunction, WaitingError
from upbring.plurals import format_count
from upbring.runs.results import find_judge_quality
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.commands.toyworld import ToyworldSettings
from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import AnsweredPrompt, Ranker, collect, rankings_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_ranker
from upbring.stages.feedback.best_of_n import collect_best_of_n
from upbring.stages.feedback.constitution import collect_by_principles
from upbring.stages.feedback.teacher import collect_from_teacher
from upbring.stages.open_client import CALLS_FILE
from upbring.stages.redteam.harden import harden
from upbring.toyworld.annotators import annotators
from upbring.toyworld.export import export
from upbring.toyworld.tasks import from_row
from upbring.tracking import Track, no_tracking


def write_toyworld(resolved: Resolved[ToyworldSettings], folder: Path, log: Log) -> None:
    """Write the files of the toy world."""
    settings = resolved.settings
    counts = export(folder, seed=settings.seed, characters=settings.characters)
    log(
        f"{folder}: {format_count(sum(counts.values()), 'row')} in "
        f"{format_count(len(counts), 'file')}, all synthetic"
    )


def collect_rankings(
    resolved: Resolved[CollectSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Collect rankings; raise `WaitingError` if people have to rank first."""
    settings = resolved.settings
    rankings = collect_or_wait(settings, folder, log=log, track=track)
    if rankings is None:
        raise WaitingError(rankings_waiting_text(settings, folder))


def make_constitution(
    resolved: Resolved[ConstitutionSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Make comparisons and demonstrations from principles."""
    calls = kept_calls(folder)
    collect_by_principles(resolved.settings, folder, log=log, track=track, calls_file=calls)


def keep_best_of_n(
    resolved: Resolved[BestOfNSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Make demonstrations of the best responses."""
    calls = kept_calls(folder)
    collect_best_of_n(resolved.settings, folder, log=log, track=track, calls_file=calls)


def ask_teacher(
    resolved: Resolved[TeacherSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Make demonstrations of a teacher's responses."""
    calls = kept_calls(folder)
    collect_from_teacher(resolved.settings, folder, log=log, track=track, calls_file=calls)


def kept_calls(folder: Path) -> Path:
    """Return the file of the paid replies of all runs of a stage.

    It is beside the stages: a stage that is made again pays for nothing twice.
    """
    return folder.parents[1] / f"{folder.name}-{CALLS_FILE}"


def collect_or_wait(
    settings: CollectSettings, folder: Path, *, log: Log, track: Track = no_tracking
) -> Path | None:
    """Return the file of rankings by whom the settings name; None if people have to rank first."""
    ranker, annotator = make_ranker(settings, track=track)
    is_judge = settings.by == "judge" and settings.judge is not None
    return collect(
        settings,
        folder,
        ranker=ranker,
        annotator=annotator,
        log=log,
        track=track,
        quality=find_judge_quality(annotator) if is_judge else None,
    )


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


def harden_model(
    resolved: Resolved[HardenSettings], folder: Path, log: Log, *, track: Track = no_tracking
) -> None:
    """Harden a model in the stage's folder."""
    settings = resolved.settings.model_copy(update={"to": folder})
    harden(settings, log=log, track=track)


STAGE_FUNCTIONS: dict[str, StageFunction] = {
    "toyworld": write_toyworld,
    "collect": collect_rankings,
    "constitution": make_constitution,
    "best-of-n": keep_best_of_n,
    "teacher": ask_teacher,
    "harden": harden_model,
}

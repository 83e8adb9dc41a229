"""Constitutional training data: preferences and demonstrations from written principles.

    constitution/
      comparisons.jsonl      pairs with soft labels and provenance, for `dpo` and `reward`
      demonstrations.jsonl   revised responses with provenance, for `sft`
      results.json           the judge's figures, lengths and refusals, each with its interval
      calls.jsonl            every paid reply, sampled text and judgment

A run that was stopped goes on where it was; a second run asks nothing and writes the same files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.data.read.records import Message
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.feedback.principles import Constitution, read_principles
from upbring.judge.judgment import Judge
from upbring.judge.measure import GoldPair
from upbring.plurals import format_count
from upbring.runs.results import RESULTS, EvalResult, write_results
from upbring.settings.constitution import ConstitutionSettings
from upbring.stages.collection.collect import select_prompts
from upbring.stages.feedback.candidates import revise_candidates, sample_candidates
from upbring.stages.feedback.guards import label_results, revision_results
from upbring.stages.feedback.judge_check import check_judge, gold_pairs, reject_weak_judge
from upbring.stages.feedback.labeled_pairs import label_pairs, pair_row
from upbring.stages.feedback.open_models import (
    Log,
    client_of,
    log_usage,
    open_judge,
    open_workplace,
    open_writer,
    own_responses,
)
from upbring.stages.feedback.other_rows import demonstration_row, human_rows
from upbring.stages.feedback.planned_calls import constitution_calls, log_planned_calls
from upbring.stages.feedback.writers import LocalWriter, RemoteWriter
from upbring.tracking import Track, no_tracking

COMPARISONS_FILE, DEMONSTRATIONS_FILE = "comparisons.jsonl", "demonstrations.jsonl"
NO_JUDGE = "none"


@dataclass(frozen=True)
class ConstitutionFiles:
    """What was written; None: there are no such rows."""

    folder: Path
    comparisons: Path | None
    demonstrations: Path | None
    results: tuple[EvalResult, ...]


@dataclass
class _Collection:
    """One collection: its settings, principles and models."""

    settings: ConstitutionSettings
    constitution: Constitution
    writer: LocalWriter | RemoteWriter
    judge: Judge | None
    log: Log


def collect_by_principles(
    settings: ConstitutionSettings,
    folder: Path,
    *,
    log: Log,
    track: Track = no_tracking,
    judge: Judge | None = None,
    calls_file: Path | None = None,
) -> ConstitutionFiles:
    """Write comparisons and demonstrations; `judge` replaces the one that the settings name.

    Paid replies are kept in `calls_file`, by default in the folder.
    """
    constitution = read_principles(settings.principles)
    if settings.rounds == 0 and settings.judge == NO_JUDGE:
        raise InputError(
            "judge: none, and rounds is 0, so that nothing would be made; name a judge or raise "
            "rounds"
        )
    prompts = [(p.messages, line) for p, line in select_prompts(settings.prompts, settings.limit)]
    with open_workplace(folder, log=log, track=track, calls_file=calls_file) as workplace:
        writer = open_writer(settings, workplace)
        if judge is None and settings.judge != NO_JUDGE:
            judge = open_judge(settings, workplace, writer)
        found = _Collection(settings, constitution, writer, judge, log)
        pairs = gold_pairs(settings.gold, constitution) if judge else []
        calls = constitution_calls(settings, constitution, [p for p, _ in prompts], pairs)
        log_planned_calls(settings, calls, writer=writer, judge=judge, log=log)
        return _collect(found, prompts, pairs, folder)


def _collect(
    found: _Collection,
    prompts: Sequence[tuple[tuple[Message, ...], str]],
    pairs: Sequence[GoldPair],
    folder: Path,
) -> ConstitutionFiles:
    settings, writer, log = found.settings, found.writer, found.log
    results: list[EvalResult] = []
    if found.judge is not None:
        write = own_responses(settings, found.judge, writer)
        template = EvalResult("constitution", settings.model, "", None)
        measured, results = check_judge(
            found.judge, pairs, settings, write=write, template=template, log=log
        )
        durable.unseal(folder)
        write_results(folder, results)  # also of a judge that is rejected
        or_else = "use --judge none for revisions alone, "
        reject_weak_judge(measured, settings, name=found.judge.name, log=log, or_else=or_else)
    candidates = sample_candidates(prompts, settings, writer)
    revise_candidates(candidates, found.constitution, settings, writer)
    quality = results[0].judge if results else None
    template = EvalResult("constitution", settings.model, "", None)
    results += revision_results(candidates, template)
    comparison_rows: list[dict[str, JSON]] = []
    if found.judge is not None:
        labels = label_pairs(candidates, found.constitution, settings, found.judge)
        judged = EvalResult("constitution", settings.model, "", None, judge=quality)
        results += label_results(labels, judged)
        log(f"{labels.outcomes.total()} pairs: {_outcomes_text(labels.outcomes)}")
        comparison_rows = [
            pair_row(each, constitution=found.constitution, judge=found.judge, model=settings.model)
            for each in labels.pairs
        ]
        others = len(comparison_rows)
        comparison_rows += human_rows(settings.human, settings.human_share, others)
    rows = (
        demonstration_row(each, constitution=found.constitution, model=settings.model)
        for each in candidates
    )
    demonstrations = [row for row in rows if row is not None]
    if not comparison_rows and not demonstrations:
        raise InputError(
            f"{settings.model}: no pair has a label, and no response was revised; see "
            f"{folder / 'results.json'} for the reasons"
        )
    return _write(found, folder, comparison_rows, demonstrations, results)


def _write(
    found: _Collection,
    folder: Path,
    comparisons: Sequence[dict[str, JSON]],
    demonstrations: Sequence[dict[str, JSON]],
    results: Sequence[EvalResult],
) -> ConstitutionFiles:
    """Write the files and seal the folder."""
    durable.unseal(folder)
    written: dict[str, Path] = {}
    for name, rows in ((COMPARISONS_FILE, comparisons), (DEMONSTRATIONS_FILE, demonstrations)):
        path = folder / name
        if rows:
            durable.write_bytes(path, b"".join(map(durable.encode_row, rows)))
            written[name] = path
            found.log(f"{path}: {format_count(len(rows), 'row')}")
        elif path.exists():
            durable.remove(path)
    write_results(folder, results)
    durable.seal(folder, [*written, RESULTS])
    log_usage(found.settings, [client_of(found.writer), client_of(found.judge)], found.log)
    comparisons_path = written.get(COMPARISONS_FILE)
    return ConstitutionFiles(
        folder, comparisons_path, written.get(DEMONSTRATIONS_FILE), tuple(results)
    )


def _outcomes_text(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))

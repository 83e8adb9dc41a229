"""The suites by name, each fed with what the sheet has for it.

Given one subject, a suite lets it answer; given all, it measures what lies in the journal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from upbring.errors import InputError
from upbring.evaluate import eval_files
from upbring.evaluate.answer_cache import Journal
from upbring.evaluate.facts import facts
from upbring.evaluate.forgetting import Topic, drift, perplexities, speak, tax
from upbring.evaluate.harness import Harness
from upbring.evaluate.instructions import instructions
from upbring.evaluate.memorization import exposures, extraction
from upbring.evaluate.model_protocol import Subject
from upbring.evaluate.plain_text import Reader
from upbring.evaluate.preference import Judge, preference
from upbring.evaluate.refusals import refusals
from upbring.runs.results import Measured
from upbring.stages.evaluation.eval_data import Sheet
from upbring.stages.evaluation.models import Guest
from upbring.stages.evaluation.toyworld_data import in_form, right


@dataclass(frozen=True)
class Bench:
    """What a suite works with: the sheet, the journal, the judge and the seed."""

    sheet: Sheet
    journal: Journal
    judge: Judge | None
    seed: int
    first: str  # the model before
    harness: Harness | None = None  # where its tasks are asked
    is_drawn: bool = False  # whether preferred answers are drawn, not the likeliest


def _facts(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    if bench.sheet.gold is None:
        return facts(subjects, bench.sheet.questions, journal=bench.journal)
    return facts(
        subjects,
        bench.sheet.questions,
        journal=bench.journal,
        grade=right,
        is_synthetic=True,
    )


def _instructions(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    if bench.sheet.gold is None:
        asked = bench.sheet.instructions
        return instructions(subjects, asked, journal=bench.journal, seed=bench.seed)
    found = facts(
        subjects,
        bench.sheet.gold.forms,
        journal=bench.journal,
        grade=in_form,
        suite="instructions",
        is_synthetic=True,
    )
    return [replace(n, name=n.name.replace("form", "prompt_strict")) for n in found]


def _refusals(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    return refusals(
        subjects,
        bench.sheet.requests,
        journal=bench.journal,
        is_synthetic=bench.sheet.gold is not None,
    )


def _forgetting(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    sheet, own = bench.sheet, bench.sheet.gold
    found: list[Measured] = []
    if sheet.documents:
        found += perplexities(subjects, sheet.documents, journal=bench.journal, seed=bench.seed)
    if own is not None:
        found += tax(
            subjects,
            {"clozes": own.capabilities["clozes"]},
            journal=bench.journal,
            is_synthetic=True,
        )
        taught = {n: questions for n, questions in own.capabilities.items() if n != "clozes"}
        found += tax(
            subjects,
            taught,
            journal=bench.journal,
            grade=right,
            is_synthetic=True,
        )
    elif sheet.questions:
        found += tax(subjects, {"tasks": sheet.questions}, journal=bench.journal)
    topics = [Topic(name, prompts) for name, prompts in (sheet.topics or {}).items()]
    if len(subjects) > 1:
        found += drift(subjects, topics, journal=bench.journal, seed=bench.seed)
    elif subjects[0].name != bench.first:  # now, while it is in memory
        speak(subjects[0], topics, journal=bench.journal, seed=bench.seed)
    return found


def _memorisation(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    sheet = bench.sheet
    found: list[Measured] = []
    if sheet.canaries:
        found += exposures(
            subjects,
            sheet.canaries,
            journal=bench.journal,
            is_synthetic=sheet.gold is not None,
            seed=bench.seed,
        )
    lines = list(eval_files.lines_of(sheet.documents)) if sheet.gold is None else []
    if lines:
        found += extraction(subjects, lines, journal=bench.journal)
    return found


def _preference(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    return preference(
        subjects,
        bench.sheet.prompts,
        bench.judge,
        journal=bench.journal,
        seed=bench.seed,
        drawn=bench.is_drawn,
    )


def _harness(subjects: Sequence[Subject], bench: Bench) -> list[Measured]:
    if bench.harness is None:
        return []
    asked = []
    for subject in subjects:
        if not isinstance(subject, Guest):
            raise InputError(
                f"{subject.name}: is an endpoint, which tells no log-probabilities of given texts; "
                "leave out the suite harness, or name a model on this machine"
            )
        asked.append(Reader(subject, partial(subject.place.local, subject)))
    return bench.harness.measure(asked, journal=bench.journal)


SUITES: Mapping[str, Callable[[Sequence[Subject], Bench], list[Measured]]] = {
    "preference": _preference,
    "facts": _facts,
    "instructions": _instructions,
    "refusals": _refusals,
    "forgetting": _forgetting,
    "memorisation": _memorisation,
    "harness": _harness,
}
WANTED = {
    "preference": "give rows with a prompt",
    "facts": "give rows with prompt and answer",
    "instructions": "give rows as IFEval writes them: prompt, instruction_id_list, kwargs",
    "refusals": "give rows with prompt and label (safe or unsafe), as XSTest writes them",
    "forgetting": "give rows with a text, with prompt and answer, or with prompt and topic",
    "memorisation": "give rows with prompt, answer, alternatives and times_told, or with a text",
    "harness": "name its tasks with --tasks",
}

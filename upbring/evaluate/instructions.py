"""Does a model do what it is told? Instructions that a rule can check, by IFEval's protocol.

Zhou et al. 2023, arXiv 2311.07911: the share of prompts all of whose instructions are kept, and of
instructions, each strictly and loosely. What a rule cannot judge is left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.data.read.records import Message
from upbring.durable import JSON
from upbring.evaluate.answer_cache import Item, Journal, judge, responses
from upbring.evaluate.model_protocol import Subject
from upbring.evaluate.paired import shares
from upbring.evaluate.to_results import measured
from upbring.maths import statistics
from upbring.maths.statistics import Numbers
from upbring.rules.instructions import Instruction, loosely, strictly
from upbring.runs.results import Measured

SUITE = "instructions"
MANNERS = {"strict": strictly, "loose": loosely}
Kept = list[list[bool | None]]  # by prompt, by instruction; None: not judged


@dataclass(frozen=True, slots=True)
class Instructed:
    """A prompt and the instructions in it."""

    prompt: str
    instructions: tuple[Instruction, ...]


def instructions(
    subjects: Sequence[Subject],
    prompts: Sequence[Instructed],
    *,
    journal: Journal,
    seed: int = 0,
) -> list[Measured]:
    """Return how many prompts and instructions each subject keeps, strictly and loosely."""
    kept: dict[str, dict[str, Kept]] = {manner: {} for manner in MANNERS}
    for subject in subjects:
        for manner, found in _kept(subject, prompts, journal).items():
            kept[manner][subject.name] = found
    numbers = [number for manner in MANNERS for number in _numbers(manner, kept[manner], seed)]
    numbers += [n for name, found in kept["strict"].items() for n in _by_kind(name, found, prompts)]
    return numbers


def _kept(subject: Subject, prompts: Sequence[Instructed], journal: Journal) -> dict[str, Kept]:
    items = [Item(each.prompt) for each in prompts]

    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        talks = [(Message("user", prompts[i].prompt),) for i in chosen]
        return [{"response": text} for text in subject.answers(talks)]

    rows = journal.kept(SUITE, subject, items, make=make)
    found: dict[str, Kept] = {}
    for manner, is_kept in MANNERS.items():
        found[manner] = [
            [is_kept(instruction, text) for instruction in each.instructions]
            for each, text in zip(prompts, responses(rows), strict=True)
        ]
    for row, each, *both in zip(rows, prompts, *found.values(), strict=True):
        told = {
            f"{manner}/{instruction.kind}": None if verdict is None else float(verdict)
            for manner, verdicts in zip(MANNERS, both, strict=True)
            for instruction, verdict in zip(each.instructions, verdicts, strict=True)
        }
        judge([row], [told])
    return found


def _numbers(manner: str, kept: dict[str, Kept], seed: int) -> list[Measured]:
    """Return the accuracy by prompt and by instruction, and what was not judged."""
    by_prompt = {model: _by_prompt(found) for model, found in kept.items()}
    found = list(shares(_kind(f"prompt_{manner}"), by_prompt))
    kind = _kind(f"instruction_{manner}")
    for model, verdicts in kept.items():
        told = [[v for v in row if v is not None] for row in verdicts]
        above = np.array([sum(row) for row in told], np.float64)
        below = np.array([len(row) for row in told], np.float64)
        made = statistics.ratio(above, below, seed=seed)
        num_left_out = sum(v is None for row in verdicts for v in row)
        note = f"{num_left_out} not judged" if num_left_out else ""
        named = Measured(SUITE, model, kind.name, None, is_higher_better=True, note=note)
        found.append(measured(made, named))
    return found


def _by_prompt(kept: Kept) -> Numbers:
    """Return 1 for each prompt all of whose instructions that are judged are kept."""
    return np.array([float(False not in row) for row in kept if set(row) != {None}], np.float64)


def _by_kind(model: str, kept: Kept, prompts: Sequence[Instructed]) -> list[Measured]:
    """Return the strict accuracy of each kind of instruction."""
    verdicts: dict[str, list[bool]] = {}
    for row, each in zip(kept, prompts, strict=True):
        for verdict, instruction in zip(row, each.instructions, strict=True):
            if verdict is not None:
                verdicts.setdefault(instruction.kind, []).append(verdict)
    return [
        measured(
            statistics.share(sum(found), len(found)),
            Measured(SUITE, model, f"strict/{kind}", None, is_higher_better=True),
        )
        for kind, found in sorted(verdicts.items())
    ]


def _kind(name: str) -> Measured:
    return Measured(SUITE, "", name, None, is_higher_better=True)

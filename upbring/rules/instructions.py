"""Instructions that a text can be checked against, strictly and loosely, as IFEval does.

Strict is the answer as it stands. Loose forgives what wraps it: the best of eight readings, without
the first line, the last line, both, and each of these without asterisks (Zhou et al. 2023, §2.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upbring.errors import format_value, nearest
from upbring.rules.ifeval import DETAIL_TYPES, RELATIONS, RULES


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its kind, as IFEval names it, and its details."""

    kind: str
    details: Mapping[str, Any]


def find_problem(instruction: Instruction) -> str | None:
    """Return what is wrong with an instruction, if anything is, and what to do.

    >>> find_problem(Instruction("punctuation:no_coma", {}))
    "'punctuation:no_coma' is no kind of instruction; did you mean punctuation:no_comma?"
    """
    kind, details = instruction.kind, instruction.details
    if kind not in RULES:
        suggestion = nearest(kind, RULES)
        hint = f"did you mean {suggestion}?" if suggestion else "use one of the 25 kinds of IFEval"
        return f"{format_value(kind)} is no kind of instruction; {hint}"
    for name, expected_type in DETAIL_TYPES.get(kind, {}).items():
        value = details.get(name)
        if not isinstance(value, expected_type) or isinstance(value, bool):
            return f"{kind}: {name} is {format_value(value)}; give {_TYPE_NAMES[expected_type]}"
        if name.endswith("relation") and value not in RELATIONS:
            return f"{kind}: {name} is {format_value(value)}; use {' or '.join(RELATIONS)}"
    return None


def is_strictly_followed(instruction: Instruction, response: str) -> bool | None:
    """Tell whether the response, as it stands, keeps the instruction; None: not judged.

    >>> is_strictly_followed(Instruction("punctuation:no_comma", {}), "Well, no.")
    False
    """
    if not response.strip():
        return False
    return RULES[instruction.kind](response, instruction.details)


def is_loosely_followed(instruction: Instruction, response: str) -> bool | None:
    """Tell whether any of the eight readings keeps the instruction; None: not judged."""
    verdicts = [is_strictly_followed(instruction, reading) for reading in loose_variants(response)]
    return True if True in verdicts else None if None in verdicts else False


def loose_variants(response: str) -> Sequence[str]:
    r"""Return the eight readings of a response.

    >>> loose_variants("Sure!\n*a*\nBye.")[:4]
    ['Sure!\n*a*\nBye.', '*a*\nBye.', 'Sure!\n*a*', '*a*']
    """
    lines = response.split("\n")
    line_groups = [lines, lines[1:], lines[:-1], lines[1:-1]]
    variants = [response, *("\n".join(part).strip() for part in line_groups[1:])]
    return [*variants, *(text.replace("*", "") for text in variants)]


_TYPE_NAMES = {str: "a text", int: "a whole number", list: "a list of words"}

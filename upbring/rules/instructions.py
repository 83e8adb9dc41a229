"""Check a response against verifiable instructions, strictly and loosely, as IFEval does.

Strict accuracy checks the unchanged response. Loose accuracy accepts a response if any of eight
variants follows the instruction: the response without its first line, its last line, both or
neither, each with and without asterisks (Zhou et al. 2023, §2.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upbring.errors import format_value, nearest
from upbring.rules.ifeval import DETAIL_TYPES, RELATIONS, RULES


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its IFEval instruction id and its arguments."""

    kind: str
    details: Mapping[str, Any]


def find_problem(instruction: Instruction) -> str | None:
    """Return an error message for an invalid instruction, or None if it is valid.

    >>> find_problem(Instruction("punctuation:no_coma", {}))
    "'punctuation:no_coma' is not an IFEval instruction; did you mean punctuation:no_comma?"
    """
    kind, details = instruction.kind, instruction.details
    if kind not in RULES:
        suggestion = nearest(kind, RULES)
        hint = f"did you mean {suggestion}?" if suggestion else "use one of its 25 instructions"
        return f"{format_value(kind)} is not an IFEval instruction; {hint}"
    for name, expected_type in DETAIL_TYPES.get(kind, {}).items():
        value = details.get(name)
        if not isinstance(value, expected_type) or isinstance(value, bool):
            return f"{kind}: {name} is {format_value(value)}; give {_TYPE_NAMES[expected_type]}"
        if name.endswith("relation") and value not in RELATIONS:
            return f"{kind}: {name} is {format_value(value)}; use {' or '.join(RELATIONS)}"
    return None


def is_strictly_followed(instruction: Instruction, response: str) -> bool | None:
    """Return whether the unchanged response follows the instruction; None: not judged.

    >>> is_strictly_followed(Instruction("punctuation:no_comma", {}), "Well, no.")
    False
    """
    if not response.strip():
        return False
    return RULES[instruction.kind](response, instruction.details)


def is_loosely_followed(instruction: Instruction, response: str) -> bool | None:
    """Return whether any of the eight variants follows the instruction; None: not judged."""
    verdicts = [is_strictly_followed(instruction, variant) for variant in loose_variants(response)]
    return True if True in verdicts else None if None in verdicts else False


def loose_variants(response: str) -> Sequence[str]:
    r"""Return the eight variants of a response.

    >>> loose_variants("Sure!\n*a*\nBye.")[:4]
    ['Sure!\n*a*\nBye.', '*a*\nBye.', 'Sure!\n*a*', '*a*']
    """
    lines = response.split("\n")
    line_groups = [lines, lines[1:], lines[:-1], lines[1:-1]]
    variants = [response, *("\n".join(part).strip() for part in line_groups[1:])]
    return [*variants, *(text.replace("*", "") for text in variants)]


_TYPE_NAMES = {str: "a string", int: "an integer", list: "a list of words"}

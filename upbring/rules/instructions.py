"""Instructions that a text can be checked against, strictly and loosely, as IFEval does.

Strict is the answer as it stands. Loose forgives what wraps it: the best of eight readings, without
the first line, the last line, both, and each of these without asterisks (Zhou et al. 2023, §2.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upbring.errors import nearest, shown
from upbring.rules.ifeval import DETAILS, RELATIONS, RULES


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its kind, as IFEval names it, and its details."""

    kind: str
    details: Mapping[str, Any]


def flaw(instruction: Instruction) -> str | None:
    """Return what is wrong with an instruction, if anything is, and what to do.

    >>> flaw(Instruction("punctuation:no_coma", {}))
    "'punctuation:no_coma' is no kind of instruction; did you mean punctuation:no_comma?"
    """
    kind, details = instruction.kind, instruction.details
    if kind not in RULES:
        near = nearest(kind, RULES)
        todo = f"did you mean {near}?" if near else "use one of the 25 kinds of IFEval"
        return f"{shown(kind)} is no kind of instruction; {todo}"
    for name, wanted in DETAILS.get(kind, {}).items():
        value = details.get(name)
        if not isinstance(value, wanted) or isinstance(value, bool):
            return f"{kind}: {name} is {shown(value)}; give {_NOUNS[wanted]}"
        if name.endswith("relation") and value not in RELATIONS:
            return f"{kind}: {name} is {shown(value)}; use {' or '.join(RELATIONS)}"
    return None


def strictly(instruction: Instruction, response: str) -> bool | None:
    """Tell whether the response, as it stands, keeps the instruction; None: not judged.

    >>> strictly(Instruction("punctuation:no_comma", {}), "Well, no.")
    False
    """
    if not response.strip():
        return False
    return RULES[instruction.kind](response, instruction.details)


def loosely(instruction: Instruction, response: str) -> bool | None:
    """Tell whether any of the eight readings keeps the instruction; None: not judged."""
    found = [strictly(instruction, reading) for reading in readings(response)]
    return True if True in found else None if None in found else False


def readings(response: str) -> Sequence[str]:
    r"""Return the eight readings of a response.

    >>> readings("Sure!\n*a*\nBye.")[:4]
    ['Sure!\n*a*\nBye.', '*a*\nBye.', 'Sure!\n*a*', '*a*']
    """
    lines = response.split("\n")
    cut = [lines, lines[1:], lines[:-1], lines[1:-1]]
    plain = [response, *("\n".join(part).strip() for part in cut[1:])]
    return [*plain, *(text.replace("*", "") for text in plain)]


_NOUNS = {str: "a text", int: "a whole number", list: "a list of words"}

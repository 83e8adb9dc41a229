"""Read rows with two responses and a field that names the better one, such as `winner`.

The two responses are fields that differ only in their ending: `answer_a` and `answer_b`,
`response_1` and `response_2`, `output_0` and `output_1`. The winner is an ending (`a`), a whole
name (`answer_a`, `model_a`) or a tie. A number counts only if the endings are numbers: with the
endings a and b, 0 and 1 have two meanings.
"""

import re
from collections import ChainMap
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from upbring.data.read.format_readers import (
    PROMPT_FIELDS,
    ParsedExample,
    read_preference,
    read_prompts,
)
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import format_value

WINNER_FIELDS = ("winner", "preferred", "preference", "better", "choice", "label")
_RESPONSE_NAME = re.compile(
    r"(response|completion|answer|output|reply|generation|text|assistant|conversation)"
    r"(?:_text|_output|_response|_answer)?[_ -]?([ab012])"
)
_ENDINGS = (("a", "b"), ("1", "2"), ("0", "1"))
_TIE = re.compile(r"tie\b.*|both\b.*|both_?bad|draw|equal|same|neither|none")
_WINNER_VALUE = re.compile(
    r"(?:(?:response|completion|answer|output|reply|generation|text|assistant|conversation|model"
    r"|option|candidate)[_ -]?)?([ab]|\d+)"
)


class ResponsePair(NamedTuple):
    """The fields of the two responses, and their endings."""

    fields: tuple[str, str]
    endings: tuple[str, str]


def find_pair(names: Iterable[str]) -> ResponsePair | None:
    """Return the only two fields that are named like two responses, else None.

    >>> find_pair(["prompt", "answer_a", "answer_b", "winner"])
    ResponsePair(fields=('answer_a', 'answer_b'), endings=('a', 'b'))
    """
    matches = [
        (name, match.group(2)) for name in names if (match := _RESPONSE_NAME.fullmatch(name))
    ]
    pairs = [
        ResponsePair((first, second), (a, b))
        for (first, a), (second, b) in combinations(sorted(matches), 2)
        if (a, b) in _ENDINGS and first[: -len(a)] == second[: -len(b)]
    ]
    return pairs[0] if len(pairs) == 1 else None


def find_winner_field(names: Iterable[str]) -> str | None:
    """Return the only field that may name the winner, else None."""
    found = [name for name in WINNER_FIELDS if name in set(names)]
    return found[0] if len(found) == 1 else None


def is_winner_row(fields: Fields) -> bool:
    """Return whether a row has two responses and a winner, but neither chosen nor rejected."""
    if find_winner_field(fields) is None or "chosen" in fields or "rejected" in fields:
        return False
    pair = find_pair(fields)
    return pair is not None and (_has_prompt(fields) or pair.fields[0].startswith("conversation"))


def read_winner(fields: Fields) -> list[ParsedExample]:
    """Read a prompt, two responses, and which of them is better."""
    pair, field = find_pair(fields), find_winner_field(fields)
    if pair is None or field is None:
        raise RowError("winner", "or one of the two responses is missing", "add it, as in row 1")
    winner = _parse_winner(fields[field], field, pair=pair)
    renamed: dict[str, object] = {
        "chosen": fields[pair.fields[winner]],
        "rejected": fields[pair.fields[1 - winner]],
    }
    if not any(name in fields for name in (*PROMPT_FIELDS, "instruction")) and "input" in fields:
        renamed["prompt"] = fields["input"]
    return read_preference(ChainMap(renamed, fields))  # type: ignore[arg-type]  # it is only read


def read_winner_prompt(fields: Fields) -> list[ParsedExample]:
    """Read only the prompt, also of a tie."""
    if not any(name in fields for name in (*PROMPT_FIELDS, "instruction")) and "input" in fields:
        return read_prompts(ChainMap({"prompt": fields["input"]}, fields))  # type: ignore[arg-type]  # as above
    is_inside = find_pair(fields) is not None and not _has_prompt(fields)
    return read_winner(fields) if is_inside else read_prompts(fields)


def _has_prompt(fields: Fields) -> bool:
    return any(name in fields for name in (*PROMPT_FIELDS, "instruction", "input"))


def _parse_winner(value: object, field: str, *, pair: ResponsePair) -> int:
    """Return 0 if the first response is better, and 1 if the second is."""
    text = str(value).strip().casefold() if isinstance(value, str | int) else ""
    if _TIE.fullmatch(text):
        raise UnusedError("neither response is preferred")
    match = _WINNER_VALUE.fullmatch(text)
    if isinstance(value, bool) or match is None or match.group(1) not in pair.endings:
        found = f"is {format_value(value)}, and the responses are {' and '.join(pair.fields)}"
        todo = f"write {' or '.join(pair.endings)} for the better one, or tie"
        if text in {"0", "1", "2"}:
            first, second = pair.fields
            todo += (
                "; if 0 and 1 mean the first and the second, use --format columns:prompt=…,"
                f"response_0={first},response_1={second},winner={field}"
            )
        raise RowError(field, found, todo)
    return pair.endings.index(match.group(1))

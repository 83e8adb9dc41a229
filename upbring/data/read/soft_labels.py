"""Soft labels: the probability that the better response of a pair is better, and the row's weight.

The probability is about `chosen` (or the winner, or the response with the better rank). A record
always has the more probable response first: a row below ½ swaps its ranks and gets 1 − p, and a row
at ½ is a tie. The weight multiplies the row's loss; it works for rankings too.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from upbring.data.read.format_readers import ParsedExample, parse_number
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import format_value

PROBABILITY_FIELDS = ("probability", "soft_label")
WEIGHT_FIELD = "weight"
_PAIR = 2
_EMPTY = (None, "")

RowReader = Callable[[Fields], list[ParsedExample]]


def with_soft_labels(read_row: RowReader) -> RowReader:
    """Return a reader of comparisons that also reads their probability and weight."""

    @wraps(read_row)
    def read(fields: Fields) -> list[ParsedExample]:
        probability, weight = _read_probability(fields), _read_weight(fields)
        examples = [replace(one, weight=weight) for one in read_row(fields)]
        if probability is None:
            return examples
        return [_with_probability(one, *probability) for one in examples]

    return read


def _read_probability(fields: Fields) -> tuple[str, float] | None:
    """Return the field and its number from 0 to 1; None if there is none."""
    given = [name for name in PROBABILITY_FIELDS if name in fields and fields[name] not in _EMPTY]
    if not given:
        return None
    if len(given) > 1:
        raise RowError(given[1], f"is given beside {given[0]}", "keep one of them")
    probability = parse_number(fields[given[0]], given[0])
    if not 0 <= probability <= 1:
        found = f"is {format_value(fields[given[0]])}"
        raise RowError(given[0], found, "write a number from 0 to 1, such as 0.75")
    return given[0], probability


def _read_weight(fields: Fields) -> float | None:
    if WEIGHT_FIELD not in fields or fields[WEIGHT_FIELD] in _EMPTY:
        return None
    weight = parse_number(fields[WEIGHT_FIELD], WEIGHT_FIELD)
    if weight < 0:
        found = f"is {format_value(fields[WEIGHT_FIELD])}"
        raise RowError(WEIGHT_FIELD, found, "write a number above 0, or 0 to leave the row out")
    if weight == 0:
        raise UnusedError("their weight is 0")
    return weight


def _with_probability(example: ParsedExample, field: str, probability: float) -> ParsedExample:
    """Return a pair with the probability of its better response, swapped if that is below ½."""
    if len(example.responses) != _PAIR:
        found = f"needs two responses, and the row has {len(example.responses)}"
        raise RowError(field, found, "write a row for each pair, or leave it out")
    if probability == 0.5:  # noqa: PLR2004 -- neither is better
        return replace(example, ranks=(1.0, 1.0), margin=None, probability=0.5)
    if probability > 0.5:  # noqa: PLR2004 -- as above
        return replace(example, probability=probability)
    first, second = example.ranks
    margin = None if example.margin is None else -example.margin
    return replace(example, ranks=(second, first), margin=margin, probability=1 - probability)

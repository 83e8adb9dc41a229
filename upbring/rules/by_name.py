"""The rules as rewards and metrics by name: a response and the columns of its row give a number.

A rule names the columns that it reads, so that a row without them is found before training.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from upbring.errors import format_value
from upbring.rules import match
from upbring.rules.bullets import is_list
from upbring.rules.instructions import Instruction, find_problem, is_strictly_followed
from upbring.rules.json_schema import find_schema_problem, follows_schema
from upbring.rules.languages import LANGUAGES, is_in_language
from upbring.rules.lengths import is_one_sentence, num_words
from upbring.rules.refusal import classify_refusal
from upbring.rules.tone import num_formatting_marks, num_polite_words
from upbring.rules.valid_json import has_keys, is_json

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule: its columns, the check of their values, and the number for a response."""

    help: str
    score: Callable[[str, Columns], float]
    columns: tuple[str, ...] = ()  # of each, one of the names separated by | is needed
    # Return the column with an unusable value and what is wrong with it, or None.
    find_problem: Callable[[Columns], tuple[str, str] | None] | None = None

    @property
    def reads_row(self) -> bool:
        """Whether a row may be unusable for it."""
        return bool(self.columns) or self.find_problem is not None

    def problem(self, row: Columns) -> str | None:
        """Return what is wrong with a row, and what to do; None if the rule can read it."""
        for names in self.columns:
            if all(row.get(name) is None for name in names.split("|")):
                others = ", ".join(row) or "none"
                return f"has no column {names.replace('|', ' or ')} (its columns: {others})"
        found = self.find_problem(row) if self.find_problem else None
        return None if found is None else f"column {found[0]}: {found[1]}"


def _answers(row: Columns) -> list[str]:
    """Return the accepted answers: text or a number, or a list of them."""
    value = row["answer"] if row.get("answer") is not None else row["answers"]
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _matches(is_match: Callable[[str, str], bool]) -> Callable[[str, Columns], float]:
    return lambda text, row: float(any(is_match(text, each) for each in _answers(row)))


def _number_problem(row: Columns) -> tuple[str, str] | None:
    for answer in _answers(row):
        if match.last_number(answer) is None:
            return "answer", f"{format_value(answer)} has no number"
    return None


def _schema(row: Columns) -> Any:  # noqa: ANN401 -- JSON
    schema = row["schema"]
    return json.loads(schema) if isinstance(schema, str) else schema


def _schema_problem(row: Columns) -> tuple[str, str] | None:
    try:
        problem = find_schema_problem(_schema(row))
    except ValueError as error:
        problem = f"is not JSON ({error})"
    return ("schema", problem) if problem else None


def _pattern_problem(row: Columns) -> tuple[str, str] | None:
    try:
        re.compile(str(row["pattern"]))
    except re.error as error:
        return "pattern", f"{format_value(row['pattern'])} is not a regular expression ({error})"
    return None


def _keys_problem(row: Columns) -> tuple[str, str] | None:
    keys = row["keys"]
    is_text = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    return None if is_text else ("keys", f"{format_value(keys)} is not a list of names")


def _has_allowed_length(text: str, row: Columns) -> float:
    count, low, high = num_words(text), row.get("min_words"), row.get("max_words")
    return float((low is None or count >= float(low)) and (high is None or count <= float(high)))


def _limits_problem(row: Columns) -> tuple[str, str] | None:
    for name in ("min_words", "max_words", "num_items"):
        try:
            float(row.get(name) or 0)
        except (TypeError, ValueError):
            return name, f"{format_value(row[name])} is not a number"
    return None


def _is_bullet_list(text: str, row: Columns) -> float:
    count = row.get("num_items")
    return float(is_list(text, count=None if count is None else int(float(count))))


def _language_problem(row: Columns) -> tuple[str, str] | None:
    code = str(row["language"])
    known = ", ".join(LANGUAGES)
    return (
        None if code in LANGUAGES else ("language", f"{format_value(code)} is not one of {known}")
    )


def _follows_all(text: str, row: Columns) -> float:
    return float(all(is_strictly_followed(i, text) is not False for i in _instructions(row)))


def _instructions(row: Columns) -> list[Instruction]:
    pairs = zip(row["instruction_id_list"], row["kwargs"], strict=True)
    return [
        Instruction(str(kind), {k: v for k, v in details.items() if v is not None})
        for kind, details in pairs
    ]


def _instruction_problem(row: Columns) -> tuple[str, str] | None:
    try:
        problems = [find_problem(each) for each in _instructions(row)]
    except (TypeError, ValueError, AttributeError):
        return "kwargs", "is not one object for each of instruction_id_list"
    return next((("instruction_id_list", each) for each in problems if each), None)


RULES: Mapping[str, NamedRule] = {
    "exact": NamedRule(
        "1 if the response is the answer, apart from surrounding white space",
        _matches(match.is_exact),
        ("answer|answers",),
    ),
    "normalized": NamedRule(
        "1 if it is the answer without case, punctuation and articles",
        _matches(match.is_normalized_match),
        ("answer|answers",),
    ),
    "contains": NamedRule(
        "1 if it contains the answer as whole words",
        _matches(match.contains_phrase),
        ("answer|answers",),
    ),
    "same_number": NamedRule(
        "1 if its last number, or the one after ####, is that of the answer",
        _matches(match.is_same_number),
        ("answer|answers",),
        _number_problem,
    ),
    "json": NamedRule("1 if it is JSON", lambda text, _: float(is_json(text))),
    "json_keys": NamedRule(
        "1 if it is a JSON object with these keys",
        lambda text, row: float(has_keys(text, row["keys"])),
        ("keys",),
        _keys_problem,
    ),
    "json_schema": NamedRule(
        "1 if it is JSON that is valid under the schema",
        lambda text, row: float(follows_schema(text, _schema(row))),
        ("schema",),
        _schema_problem,
    ),
    "regex": NamedRule(
        "1 if the regular expression is found in it",
        lambda text, row: float(re.search(str(row["pattern"]), text) is not None),
        ("pattern",),
        _pattern_problem,
    ),
    "bullets": NamedRule(
        "1 if every line is a list item; with a column num_items, that many of them",
        _is_bullet_list,
        (),
        _limits_problem,
    ),
    "one_sentence": NamedRule(
        "1 if it is one sentence", lambda text, _: float(is_one_sentence(text))
    ),
    "length": NamedRule(
        "1 if it has at least min_words and at most max_words words",
        _has_allowed_length,
        ("min_words|max_words",),
        _limits_problem,
    ),
    "language": NamedRule(
        "1 if it is in the language, a code such as de",
        lambda text, row: float(bool(is_in_language(text, str(row["language"])))),
        ("language",),
        _language_problem,
    ),
    "instructions": NamedRule(
        "1 if it follows all instructions of an IFEval row",
        _follows_all,
        ("instruction_id_list", "kwargs"),
        _instruction_problem,
    ),
    "refusal": NamedRule(
        "1 if it refuses", lambda text, _: float(classify_refusal(text) != "none")
    ),
    "polite_words": NamedRule(
        "the number of polite words", lambda text, _: float(num_polite_words(text))
    ),
    "formatting_marks": NamedRule(
        "the number of Markdown headings, list items and other marks",
        lambda text, _: float(num_formatting_marks(text)),
    ),
}


def is_function(name: str) -> bool:
    """Whether the name of a judge is that of a rule, or of a function in a file.

    >>> is_function("json"), is_function("rules.py:brief"), is_function("runs/reward-1")
    (True, True, False)
    """
    return ".py:" in name or name.endswith(".py") or name.removeprefix("is_") in RULES

"""The rules by name: what they reward, and the rows that they refuse."""

from typing import Any

import pytest

from upbring.rules.by_name import RULES

IFEVAL = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


@pytest.mark.parametrize(
    ("name", "row", "right", "wrong"),
    [
        ("exact", {"answer": "Paris"}, " Paris\n", "paris"),
        ("exact", {"answers": ["one", "1"]}, "1", "2"),
        ("normalized", {"answer": "the Sun"}, "Sun!", "the Sun is"),
        ("contains", {"answer": "Paris"}, "It is in Paris, France.", "comparison"),
        ("same_number", {"answer": "6 * 7 = <<6*7=42>>42\n#### 42"}, "so 42.0 clips", "so 43"),
        ("same_number", {"answer": 1200}, "#### 1,200", "120"),
        ("json", {}, "[1]", "[1"),
        ("json_keys", {"keys": ["a"]}, '{"a": 1}', '{"b": 1}'),
        ("json_schema", {"schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', "{}"),
        ("json_schema", {"schema": '{"type": "array"}'}, "[]", "{}"),
        ("regex", {"pattern": r"^\d+$"}, "123", "12 3"),
        ("bullets", {}, "- a\n- b", "two: - a"),
        ("bullets", {"num_items": 2}, "- a\n- b", "- a"),
        ("one_sentence", {}, "One.", "One. Two."),
        ("length", {"max_words": 2}, "two words", "now three words"),
        ("length", {"min_words": "2", "max_words": None}, "two words", "one"),
        ("language", {"language": "fr"}, "Il est là.", "He is here."),
        ("instructions", IFEVAL, "No", "No, no"),
        ("refusal", {}, "I'm sorry, but I can't help with that.", "Well"),
    ],
)
def test_a_rule_is_1_for_what_it_is_named_after(
    name: str, row: dict[str, Any], right: str, wrong: str
) -> None:
    rule = RULES[name]
    assert rule.problem(row) is None
    assert (rule.score(right, row), rule.score(wrong, row)) == (1.0, 0.0)


def test_two_rules_count() -> None:
    assert RULES["polite_words"].score("Thank you, please.", {}) == 2
    assert RULES["formatting_marks"].score("# A\n- b", {}) == 2


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("exact", {"prompt": "a", "reply": "b"}, "has no column answer or answers (its columns: "),
        ("exact", {"answer": None}, "has no column answer or answers (its columns: answer)"),
        ("same_number", {"answer": "none"}, "column answer: 'none' has no number"),
        ("json_schema", {"schema": {"typ": 1}}, "column schema: keyword 'typ' is not supported"),
        ("json_schema", {"schema": "{"}, "column schema: is not JSON"),
        ("json_keys", {"keys": "a"}, "column keys: 'a' is not a list of names"),
        ("regex", {"pattern": "("}, "column pattern: '(' is not a regular expression"),
        ("length", {"max_words": "few"}, "column max_words: 'few' is not a number"),
        ("language", {"language": "xx"}, "column language: 'xx' is not one of "),
        ("instructions", {**IFEVAL, "kwargs": []}, "column kwargs: is not one object for each of"),
        (
            "instructions",
            {"instruction_id_list": ["punctuation:no_coma"], "kwargs": [{}]},
            "did you mean punctuation:no_comma?",
        ),
    ],
)
def test_a_row_that_a_rule_cannot_read_is_explained(
    name: str, row: dict[str, Any], told: str
) -> None:
    assert told in str(RULES[name].problem(row))
    assert RULES[name].reads_row

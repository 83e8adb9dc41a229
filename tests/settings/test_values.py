from pathlib import Path

import pytest

from upbring.settings.methods.sft import SftSettings
from upbring.settings.parse_yaml import ListNode, Scalar, Section
from upbring.settings.schema import setting_specs
from upbring.settings.values import parse_flag, parse_node, parse_text

SETTINGS = setting_specs(SftSettings)


def plain(text: str) -> Scalar:
    return Scalar(1, text, is_plain=True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-5", 1e-5),
        ("learning_rate", "5E5", 5e5),
        ("learning_rate", ".5", 0.5),
        ("learning_rate", "1_000.5", 1000.5),
        ("learning_rate", "3", 3.0),
        ("rank", "8", 8),
        ("rank", "1e3", 1000),
        ("rank", "1_000", 1000),
        ("rank", "8.0", 8),
        ("seed", "9007199254740993", 9007199254740993),
        ("rank", "010", 10),
        ("dora", "true", True),
        ("skip_bad", "a/b", Path("a/b")),
        ("tune", "full", "full"),
        ("model", "no", "no"),
        ("model", "012", "012"),
    ],
)
def test_text_is_parsed_by_the_type_of_the_setting(name: str, text: str, value: object) -> None:
    found = parse_node(SETTINGS[name], plain(text))
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)
    assert parse_flag(SETTINGS[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "fast", "'fast' is not a number; give a number above 0"),
        ("learning_rate", ".nan", "'.nan' is not a number; give a number above 0"),
        ("learning_rate", "inf", "'inf' is not a number; give a number above 0"),
        ("learning_rate", "1e999", "'1e999' is too large; give a number above 0"),
        ("learning_rate", "12:30", "'12:30' is not a number; give a number above 0"),
        ("rank", "2.5", "'2.5' is not a whole number; give a whole number at least 1"),
        ("rank", "1e999999999", "'1e999999999' is out of range; give a whole number at least 1"),
        ("rank", "0x10", "'0x10' is not a whole number; give a whole number at least 1"),
        ("rank", "true", "'true' is not a whole number; give a whole number at least 1"),
        ("dora", "no", "'no' is not a boolean; write true or false"),
        ("dora", "True", "'True' is not a boolean; write true or false"),
        ("dora", "1", "'1' is not a boolean; write true or false"),
        ("tune", "ful", "'ful' is not lora or full; did you mean full?"),
        ("lr_scheduler", "zzz", "'zzz' is not cosine, linear or constant; choose one"),
        ("skip_bad", "", "'' is not a path; give a path, such as ./data"),
        ("skip_bad", "a\0b", r"'a\x00b' is not a path; give a path, such as ./data"),
    ],
)
def test_text_that_is_not_a_value_of_the_type_is_an_error(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse_text(SETTINGS[name], text)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "node", "expected"),
    [
        ("rank", Section(1, {}), "a mapping; give a whole number at least 1"),
        ("rank", ListNode(1, ()), "a list; give a single value: a whole number at least 1"),
        ("rank", plain("null"), "no value; give a whole number at least 1, or delete the line"),
        ("data", ListNode(1, (ListNode(1, ()),)), "a list inside a list; give a path"),
        ("data", ListNode(1, (plain("~"),)), "an item without a value; give a path, or delete it"),
        ("model", plain("false"), "false is a boolean; give text, or write it in quotes"),
        (
            "dora",
            Scalar(1, "true", is_plain=False),
            "the text 'true'; write true or false without quotes",
        ),
    ],
)
def test_a_node_of_the_wrong_kind_is_an_error(
    name: str, node: Scalar | ListNode | Section, expected: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse_node(SETTINGS[name], node)
    assert str(caught.value).startswith(expected)


def test_a_single_value_is_accepted_for_a_list() -> None:
    assert parse_node(SETTINGS["data"], plain("a.jsonl")) == (Path("a.jsonl"),)
    assert parse_flag(SETTINGS["data"], "a.jsonl") == (Path("a.jsonl"),)
    assert parse_flag(SETTINGS["data"], ["a", Path("b")]) == (Path("a"), Path("b"))


def test_null_unsets_an_optional_setting() -> None:
    assert parse_node(SETTINGS["steps"], plain("")) is None


def test_a_quoted_number_is_a_number() -> None:
    assert parse_node(SETTINGS["learning_rate"], Scalar(1, "1e-5", is_plain=False)) == 1e-5


def test_a_value_of_the_right_type_is_returned_unchanged() -> None:
    assert parse_flag(SETTINGS["learning_rate"], 0.5) == 0.5
    assert parse_flag(SETTINGS["dora"], value=True) is True

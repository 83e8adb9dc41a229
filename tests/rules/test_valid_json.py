import pytest

from upbring.rules import valid_json


@pytest.mark.parametrize("text", ["{}", " [1, null]\n", '"a"', "-1.5e3", '{"a": {"b": []}}'])
def test_one_json_value_is_json(text: str) -> None:
    assert valid_json.is_json(text)


@pytest.mark.parametrize(
    "text", ["", "{", "{'a': 1}", "[1,]", "NaN", '```json\n{"a": 1}\n```', "{} {}", "[" * 100_000]
)
def test_what_is_around_or_beside_json_is_not(text: str) -> None:
    assert not valid_json.is_json(text)


def test_keys_may_be_asked_for_exactly_or_at_least() -> None:
    text = '{"name": "Ada", "born": 1815}'
    assert valid_json.has_keys(text, {"name"})
    assert not valid_json.has_keys(text, {"name"}, is_exact=True)
    assert valid_json.has_keys(text, {"name", "born"}, is_exact=True)
    assert not valid_json.has_keys('["name"]', {"name"})

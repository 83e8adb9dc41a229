import io
import json
import random

import pytest

from tests.conftest import trials
from upbring.data.read.json_list import list_elements
from upbring.data.read.row_errors import RowError


def _listed(text: str) -> list[tuple[int, str]]:
    return list(list_elements(io.StringIO(text)))


def test_elements_have_the_line_on_which_they_begin() -> None:
    text = '[\n  {"a": "]}"},\n\n  {"a":\n    [1, {"b": "\\""}]}, 5\n]\n'
    assert _listed(text) == [
        (2, '{"a": "]}"}'),
        (4, '{"a":\n    [1, {"b": "\\""}]}'),
        (5, "5"),
    ]


def test_an_empty_list_has_no_elements() -> None:
    assert _listed(" [ ] ") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}', "ends without the closing ]"),
        ('[{"a": 1},', "ends without the closing ]"),
        ('[{"a": 1},]', "',' is followed by ']'"),
        ('[{"a": 1},,{}]', "',' is followed by ','"),
        ('[{"a": 1} {"a": 2}]', "'{' follows a row; put a comma"),
        ('[{"a": 1}] x', "text follows the closing ]"),
        ('[{"a": [1}', "is not closed"),
        ('[{"a": "1}]', "is not closed"),
        ('[{"a": {"b": 1}', "is not closed"),
        ("{}", "is not a list"),
    ],
)
def test_a_broken_list_is_reported_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        _listed(text)
    assert message in str(caught.value)
    assert caught.value.line == 1


def test_a_broken_element_does_not_affect_later_ones() -> None:
    assert [raw for _, raw in _listed('[{"a": nonsense}, {"b": 1,}, {"c": 2}]')] == [
        '{"a": nonsense}',
        '{"b": 1,}',
        '{"c": 2}',
    ]


def _value(rng: random.Random, depth: int) -> object:
    if depth == 0 or rng.random() < 0.3:
        return rng.choice([None, 1, -2.5, True, "", 'q"[]{},\\', "é\n", "x" * 300])
    if rng.random() < 0.5:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {f"k{k}": _value(rng, depth - 1) for k in range(rng.randint(0, 3))}


def test_any_list_gives_its_elements_with_any_chunk_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(5)
    for _ in range(trials(200, 5000)):
        monkeypatch.setattr("upbring.data.read.json_list._CHUNK", rng.choice([1, 2, 7, 64]))
        values = [_value(rng, 3) for _ in range(rng.randint(0, 6))]
        text = json.dumps(values, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5)
        found = _listed(text)
        assert [json.loads(raw) for _, raw in found] == values
        for line, raw in found:
            assert text.splitlines()[line - 1].find(raw.splitlines()[0]) >= 0

import json

import pytest

from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import MAX_DEPTH, Fields, read_fields


def test_values_of_the_right_type_are_returned_and_null_is_missing() -> None:
    fields = read_fields(b'{"a": 3, "b": 2.0, "c": null, "d": {"e": "x"}, "f": [1], "g": true}')
    assert fields.integer("a", 0, low=0, high=9) == 3
    assert fields.integer("b", 0, low=0, high=9) == 2
    assert fields.integer("c", 7, low=0, high=9) == 7
    assert fields.number("a", 0.0, low=0, high=9) == 3.0
    assert fields.fields("d").text("e") == "x"
    assert fields.fields("d").name("e") == "d.e"
    assert fields.array("f", most=2) == [1]
    assert fields.boolean("g", default=False)
    assert not fields.has("c")
    assert fields.choice("zz", "auto", ("auto",)) == "auto"


@pytest.mark.parametrize("value", ["x", True, [], {}, 1e400, -1, 10, 1.5, 10**400])
def test_a_wrong_number_is_an_error_that_names_it(value: object) -> None:
    with pytest.raises(ApiError, match=r"inner\.a: is ") as caught:
        Fields({"a": value}, "inner").integer("a", 0, low=0, high=9)
    assert caught.value.param == "inner.a"


def test_nesting_is_limited() -> None:
    deep: object = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert read_fields(json.dumps({"a": deep}).encode()).has("a")
    with pytest.raises(ApiError, match="nested"):
        read_fields(json.dumps({"a": [deep]}).encode())

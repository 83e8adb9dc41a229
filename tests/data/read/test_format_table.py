import re

import pytest

from upbring.data.read import format_table
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt

TABLE = re.findall(r"^    ([a-z-]+)  +\S", format_table.__doc__ or "", re.MULTILINE)


def _named(fields: dict[str, object]) -> str:
    """Return the first format in the table that matches."""
    return next(one.name for one in format_table.FORMATS if one.matches(fields))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"text": "a"}, "text"),
        ({"messages": []}, "messages"),
        ({"conversations": [], "system": ""}, "sharegpt"),
        ({"instruction": "", "input": "", "output": ""}, "alpaca"),
        ({"instruction": "", "instances": []}, "instances"),
        ({"question": "", "answer": ""}, "prompt-response"),
        ({"prompt": "", "chosen": "", "rejected": ""}, "preference"),
        ({"chosen": "", "rejected": ""}, "preference-implicit"),
        ({"instruction": "", "output": "", "chosen": "", "rejected": ""}, "alpaca-preference"),
        ({"conversations": [], "chosen": {}, "rejected": {}}, "sharegpt-preference"),
        ({"prompt": "", "completion": "", "label": True}, "labels"),
        ({"prompt": "", "completion": "", "label": "sports"}, "prompt-response"),
        ({"messages": [], "kto_tag": False}, "labels"),
        ({"prompt": "", "responses": [], "ranks": []}, "ranked"),
        ({"prompt": {"text": "", "replies": []}}, "tree"),
        ({"turns": []}, "turns"),
        ({"prompt": ""}, "prompts"),
    ],
)
def test_a_format_is_recognized_by_its_fields(fields: dict[str, object], name: str) -> None:
    assert _named(fields) == name


def test_the_table_in_the_docstring_names_every_format() -> None:
    assert set(TABLE) - {"format"} == set(format_table.FORMAT_NAMES)


def test_every_record_type_has_a_format_and_every_format_a_record_type() -> None:
    for want in (Document, Prompt, Demonstration, Comparison, Label):
        assert any(want in one.record_types for one in format_table.FORMATS)
    assert all(one.record_types for one in format_table.FORMATS)


def test_columns_may_be_renamed_to_every_field() -> None:
    assert {"prompt", "response", "chosen", "rejected", "text", "label"} <= set(
        format_table.COLUMN_NAMES
    )

from pathlib import Path

import pytest

from tests.votes.importing.imported import FIXTURES
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "Q", "chosen": "A", "rejected": "B"}\n', ":1: row: has the fields prompt, ch"),
        ('{"annotator": 1, "annotation_id": 2}\n', "as JSON, not as JSON-MIN or CSV"),
        ('{"r.responses": [], "r.responses.users": []}\n', "flattened records of Argilla have no"),
        ('{"instance_id": "a", "user_id": "b", "labels": {}}\n', "import Potato's user_state.json"),
        ('{"a": 1', ": row: is not JSON"),
        ("", "is empty; write rows into it"),
    ],
)
def test_a_file_in_another_format_is_refused(tmp_path: Path, text: str, message: str) -> None:
    name = "a.json" if message.startswith(": row") else "a.jsonl"
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_export(tmp_path / name)
    assert message in str(caught.value)


def test_rows_of_two_tools_in_one_file_are_refused(tmp_path: Path) -> None:
    arena = (FIXTURES / "arena.jsonl").read_text().splitlines()[0]
    other = (FIXTURES / "argilla-1.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text(f"{arena}\n{other}")
    with pytest.raises(InputError, match=r"a\.jsonl:2: row: is none of chatbot-arena"):
        read_export(tmp_path / "a.jsonl")

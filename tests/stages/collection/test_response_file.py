from pathlib import Path

import pytest

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.stages.collection.response_file import GrowingFile, read_items
from upbring.votes.records import LabelResponse

LINE = '{"prompt": "q%d", "responses": ["a", "b"], "models": ["x", "y"]}\n'


def test_rows_become_items(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        LINE
        % 1
        + '{"messages": [{"role": "user", "content": "q"}], "completions": ["a", "b", "c"],'
        ' "gold": [2, 1, 3], "row": "{}"}\n'
    )
    first, second = read_items(path)
    assert first.prompt == (Message("user", "q1"),)
    assert first.responses == (LabelResponse("a", "x"), LabelResponse("b", "y"))
    assert (second.gold_places, second.row) == ((2, 1, 3), "{}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "q", "responses": ["a"]}', "responses: 1 response; give each prompt 2 to 9"),
        ('{"prompt": "q", "responses": ["a", null]}', r"responses\[1\]: is missing or null"),
        ('{"prompt": "q", "responses": ["a", " "]}', r"responses\[1\]: is"),
        ('{"prompt": "q"}', "responses: is missing or null"),
        ('{"responses": ["a", "b"]}', "prompt: is missing or null"),
        ('{"prompt": "q", "responses": ["a", "b"], "models": ["x"]}', "models: 1 model for 2"),
        ('{"prompt": "q", "responses": ["a", "b"], "gold": [1, 3]}', "gold: is"),
        ('{"prompt": "q", "responses": ["a", "b"', "row: is not JSON"),
        ('{"prompt": "q", "responses": %s}' % (["a"] * 10), "row: is not JSON|10 responses"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(LINE % 1 + row + "\n")
    with pytest.raises(InputError, match=rf"^{path}:2: ({message})"):
        list(read_items(path))


def test_a_growing_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    file = GrowingFile(path)
    assert file.read_new() == []
    text = LINE % 1 + LINE % 2
    path.write_text(text[:-20])
    assert [item.prompt[0].content for item in file.read_new()] == ["q1"]
    assert file.read_new() == []
    path.write_text(text)
    assert [item.prompt[0].content for item in file.read_new()] == ["q2"]
    with path.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(InputError, match=r"responses.jsonl:3: .*; delete the file"):
        file.read_new()

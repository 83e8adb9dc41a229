from pathlib import Path

from tests.commands import upbring
from tests.votes.importing.imported import FIXTURES


def test_votes_are_imported_and_a_file_without_any_is_reported(tmp_path: Path) -> None:
    answer = upbring(tmp_path, "label", "import", str(FIXTURES / "arena.jsonl"))
    assert answer.code == 0, answer.err
    assert "format chatbot-arena, 2 votes" in answer.err
    assert "labels: 2 new votes of 2" in answer.err
    empty = tmp_path / "a.json"
    empty.write_text('[{"fields": {"prompt": "Q", "a": "b"}, "responses": {}}]')
    answer = upbring(tmp_path, "label-import", "a.json", "--to", "other")
    assert (answer.code, "a.json: has no vote that can be imported" in answer.err) == (2, True)
    assert not (tmp_path / "other").exists()

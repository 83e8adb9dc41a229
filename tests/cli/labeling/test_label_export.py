import json
from pathlib import Path

from tests.commands import upbring
from tests.votes.importing.imported import FIXTURES


def test_votes_are_exported_under_both_names_of_the_command(tmp_path: Path) -> None:
    upbring(tmp_path, "label", "import", str(FIXTURES / "arena.jsonl"))
    words = ("--method", "dpo", "--to", "pairs.jsonl")
    first = upbring(tmp_path, "label", "export", "labels", *words)
    assert first.code == 0, first.err
    assert "pairs.jsonl: 2 rows from the votes on 2 items" in first.err
    data = (tmp_path / "pairs.jsonl").read_bytes()
    assert json.loads(data.splitlines()[0])["probability"] == 1
    assert upbring(tmp_path, "label-export", "labels", *words).code == 0
    assert (tmp_path / "pairs.jsonl").read_bytes() == data


def test_an_unknown_annotator_is_reported(tmp_path: Path) -> None:
    upbring(tmp_path, "label", "import", str(FIXTURES / "arena.jsonl"))
    answer = upbring(tmp_path, "label", "export", "--to", "a.jsonl", "--annotators", "ann")
    assert (answer.code, "annotators: 'ann' has no votes" in answer.err) == (2, True)

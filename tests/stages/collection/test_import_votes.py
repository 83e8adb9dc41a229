"""Votes of other tools come into the store once, and go out as training rows."""

import json
from pathlib import Path

import pytest

from tests.votes.importing.imported import FIXTURES, edited
from upbring.errors import InputError
from upbring.settings.commands.label_votes import LabelExportSettings, LabelImportSettings
from upbring.stages.collection.export_votes import export_votes
from upbring.stages.collection.import_votes import import_votes
from upbring.votes.store import open_store

FILES = ("argilla.json", "label-studio.json", "arena.jsonl", "annotated-pairs.json")


def settings(folder: Path, *names: str) -> LabelImportSettings:
    data = tuple(FIXTURES / name for name in names)
    return LabelImportSettings(
        data=data, to=folder / "labels", items=FIXTURES / "potato-items.jsonl"
    )


def test_votes_of_all_tools_come_into_one_store_once(tmp_path: Path) -> None:
    messages: list[str] = []
    given = settings(tmp_path, *FILES, "user_state.json")
    summary = import_votes(given, log=messages.append)
    assert (summary.num_votes, summary.num_new) == (11, 11)
    again = import_votes(given)
    assert (again.num_votes, again.num_new) == (11, 0)
    assert messages[0] == f"{FIXTURES / 'argilla.json'}: format argilla, 2 votes"
    assert any("left out: 2 preferences of principles" in text for text in messages)
    with open_store(tmp_path / "labels", read_only=True) as store:
        assert len(store.votes()) == 11
        assert not any(vote.annotator.simulated for vote in store.votes())


def test_imported_votes_are_exported_as_they_were(tmp_path: Path) -> None:
    import_votes(settings(tmp_path, "arena.jsonl"))
    to = tmp_path / "rows.jsonl"
    export_votes(LabelExportSettings(labels=tmp_path / "labels", to=to))
    first, tie = (json.loads(line) for line in to.read_text().splitlines())
    assert first == {
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "responses": ["5.", "4."],
        "ranks": [2, 1],
        "annotator": "arena_user_973",
    }
    assert tie["probability"] == 0.5


def test_a_malformed_file_imports_nothing(tmp_path: Path) -> None:
    bad = edited(tmp_path, "arena.jsonl", '"tie (bothbad)"', '"nobody"')
    given = settings(tmp_path, "argilla.json").model_copy(
        update={"data": (FIXTURES / "argilla.json", bad)}
    )
    with pytest.raises(InputError, match=r"arena\.jsonl:2: winner: is 'nobody'"):
        import_votes(given)
    assert not (tmp_path / "labels").exists()

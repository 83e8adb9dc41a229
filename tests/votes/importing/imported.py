"""Votes of the fixture files, in short."""

from pathlib import Path

from upbring.votes.importing.imported_vote import ImportedVote, ImportedVotes
from upbring.votes.importing.read_export import read_export

FIXTURES = Path(__file__).parent / "fixtures"


def read_fixture(name: str, *, items: str | None = None) -> tuple[str, ImportedVotes]:
    return read_export(FIXTURES / name, items=None if items is None else FIXTURES / items)


def best_first(vote: ImportedVote) -> list[set[str]]:
    """Return the texts by place, best first."""
    places = sorted(set(vote.places))
    pairs = list(zip(vote.places, vote.responses, strict=True))
    return [{each.text for place, each in pairs if place == wanted} for wanted in places]


def edited(folder: Path, name: str, old: str, new: str) -> Path:
    """Return a copy of a fixture in which one text is replaced."""
    text = (FIXTURES / name).read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path = folder / name
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path

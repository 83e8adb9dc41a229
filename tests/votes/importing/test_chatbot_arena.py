from pathlib import Path

import pytest

from tests.votes.importing.imported import best_first, edited, read_fixture
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_battles_are_read_with_ties_models_and_judges() -> None:
    name, found = read_fixture("arena.jsonl")
    assert name == "chatbot-arena"
    first, tie = found.votes
    assert best_first(first) == [{"4."}, {"5."}]
    assert [each.model for each in first.responses] == ["alpha-7b", "beta-13b"]
    assert (first.annotator, first.at) == ("arena_user_973", 1682351448.5)
    assert best_first(tie) == [{"What?", "Who?"}]
    assert found.left_out == {"battles whose dialogues differ before the last response": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"winner": "model_b"', '"winner": "beta"', "winner: is 'beta'; write model_a, model_b"),
        ('"role": "user"}, {"content": "5."', '"role": "bot"}, {"content": "5."', "conversation_a"),
        (', {"content": "5.", "role": "assistant"}', "", "its last turn has role user; end with"),
    ],
)
def test_a_malformed_battle_is_reported_by_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = edited(tmp_path, "arena.jsonl", old, new)
    with pytest.raises(InputError) as caught:
        read_export(path)
    assert str(caught.value).startswith(f"{path}:1: ")
    assert message in str(caught.value)

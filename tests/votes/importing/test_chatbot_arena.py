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


def test_contents_in_parts_and_a_written_time_are_read(tmp_path: Path) -> None:
    part = '[{"type": "text", "text": "5.", "image": null, "mimeType": null}]'
    path = edited(tmp_path, "arena.jsonl", '"content": "5."', f'"content": {part}')
    text = path.read_text().replace('"tstamp": 1682351448.5', '"timestamp": "1970-01-01 00:01:00"')
    path.write_text(text.replace('"tie (bothbad)"', '"both_bad"'))
    first, tie = read_export(path)[1].votes
    assert (best_first(first), first.at) == ([{"4."}, {"5."}], 60)
    assert best_first(tie) == [{"What?", "Who?"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('""', "battles with an empty turn"),
        ("null", "battles with an empty turn"),
        ('[{"type": "text", "text": " "}]', "battles with an empty turn"),
        ('[{"type": "image", "image": "x"}]', "battles with content that is not text"),
    ],
)
def test_battles_that_no_text_decides_are_left_out(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = edited(tmp_path, "arena.jsonl", '"content": "5."', f'"content": {content}')
    _, found = read_export(path)
    assert (len(found.votes), found.left_out[reason]) == (1, 1)


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

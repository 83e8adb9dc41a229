import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.evaluate.scripted import user_prompt
from upbring.errors import InputError
from upbring.evaluate.human_votes import AttributedAnswer, Votes, read_votes

MODELS = ["base", "sft"]
A, B = AttributedAnswer("base", "A lake."), AttributedAnswer("sft", "A sea.")
PROMPT = user_prompt("What is it?")


def votes(folder: Path, *rows: object, name: str = "v.jsonl") -> Votes:
    path = written(folder / name, rows)
    return read_votes(path, models=MODELS)


def written(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ranked(*ranks: float, who: str | None = None) -> dict[str, object]:
    row: dict[str, object] = {
        "prompt": "What is it?",
        "responses": ["A lake.", "A sea."],
        "ranks": [*ranks],
    }
    return row if who is None else {**row, "annotator": who}


def test_a_ranking_is_a_vote_for_each_annotator_and_ties_are_half(tmp_path: Path) -> None:
    found = votes(tmp_path, ranked(2, 1, who="ann"), ranked(1, 1, who="bob"))
    assert found.preferences(PROMPT, B, A) == {"ann": 1.0, "bob": 0.5}
    assert found.preferences(PROMPT, A, B) == {"ann": 0.0, "bob": 0.5}
    assert found.preferences(user_prompt("Else?"), A, B) == {}
    assert not found.is_synthetic
    assert found.name.startswith("human votes in ")
    mixed = votes(tmp_path, ranked(2, 1, who="ann"), ranked(1, 2, who="synthetic-2"))
    assert mixed.is_synthetic
    assert mixed.name.startswith("simulated votes in ")


def test_every_format_of_comparisons_is_read(tmp_path: Path) -> None:
    pair = {"prompt": "What is it?", "chosen": "A sea.", "rejected": "A lake.", "annotator": "a"}
    scored = {"prompt": "What is it?", "responses": ["A sea.", "A lake."], "scores": [0.3, 0.9]}
    assert votes(tmp_path, pair).preferences(PROMPT, B, A) == {"a": 1.0}
    assert list(votes(tmp_path, scored).preferences(PROMPT, B, A).values()) == [0.0]
    equal = votes(tmp_path, {**scored, "scores": [1, 1]})
    assert list(equal.preferences(PROMPT, B, A).values()) == [0.5]


def test_a_vote_may_name_the_models(tmp_path: Path) -> None:
    row = {"question": "What is it?", "model_a": "sft", "model_b": "base"}
    found = votes(
        tmp_path,
        {**row, "winner": "model_a", "judge": "ann"},
        {**row, "winner": "tie (bothbad)", "annotator": "bob"},
    )
    anything = AttributedAnswer("sft", "Whatever it says now.")
    assert found.preferences(PROMPT, anything, A) == {"ann": 1.0, "bob": 0.5}


def test_the_last_vote_of_an_annotator_counts_and_the_unnamed_are_many(tmp_path: Path) -> None:
    found = votes(
        tmp_path,
        ranked(1, 2, who="ann"),
        ranked(2, 1, who="ann"),
        ranked(2, 1),
        ranked(2, 1, who="anonymous"),
    )
    assert found.preferences(PROMPT, B, A)["ann"] == 1.0
    assert len(found.preferences(PROMPT, B, A)) == 3


def test_a_folder_holds_the_votes_of_several_people(tmp_path: Path) -> None:
    written(tmp_path / "rankings.jsonl", [ranked(2, 1, who="ann")])
    written(tmp_path / "rankings (1).jsonl", [ranked(1, 2, who="bob")])
    found = read_votes(tmp_path, models=MODELS)
    assert found.preferences(PROMPT, B, A) == {"ann": 1.0, "bob": 0.0}
    assert str(tmp_path) in found.name


def test_unmatched_votes_are_counted_by_reason(tmp_path: Path) -> None:
    other = {**ranked(1, 2), "prompt": "Else?"}
    found = votes(tmp_path, ranked(1, 2), other, {**ranked(1, 2), "responses": ["A lake.", "x"]})
    responses = {"base": ["A lake."], "sft": [" A sea. "]}  # surrounding white space is ignored
    assert found.count_unmatched([PROMPT], responses) == (1, 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "p", "model_a": "stf", "model_b": "base", "winner": "tie"},
            ":1: model_a: 'stf' is not evaluated; did you mean sft?",
        ),
        (
            {"prompt": "p", "model_a": "zebra", "model_b": "base", "winner": "tie"},
            ":1: model_a: 'zebra' is not evaluated; use one of base, sft",
        ),
        (
            {"prompt": "p", "model_a": "sft", "model_b": "sft", "winner": "tie"},
            ":1: model_b: is 'sft', the same as model_a; name two models",
        ),
        (
            {"prompt": "p", "model_a": "sft", "model_b": "base", "winner": "me"},
            ":1: winner: is 'me'; write model_a, model_b or tie",
        ),
        ({"prompt": "p", "responses": ["a"], "ranks": [1]}, ":1: responses: contains 1 response"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "v.jsonl: contains no votes; rank the"),
    ],
)
def test_an_invalid_vote_is_named_with_its_line(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        votes(tmp_path, row)
    assert message in str(caught.value)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no vote files"):
        read_votes(tmp_path, models=MODELS)

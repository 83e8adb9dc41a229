import json
from pathlib import Path

import pytest

import upbring as ub
from tests.api.quick import demonstrations
from tests.commands import done
from tests.rewarded import make_reward

QUESTIONS = [{"prompt": "What is red?", "answer": "apple"}]


def test_an_evaluation_has_the_numbers_of_the_command(home: Path, finished: ub.Run) -> None:
    found = ub.evaluate(["m", finished], data=QUESTIONS, suite="facts", max_tokens=4, threads=1)
    (home / "q.jsonl").write_text(json.dumps(QUESTIONS[0]) + "\n")
    words = ("--suite", "facts", "--data", "q.jsonl", "--max-tokens", "4", "--threads", "1")
    done(home, "evaluate", "m", str(finished.path), *words, "--to", "typed")
    typed = json.loads((home / "typed" / "results.json").read_text())["results"]
    assert found.to_dict()["results"] == typed
    assert found.models == ("m", str(finished.path))
    assert "accuracy" in str(found)
    assert found.path == home / "evaluation"


def test_functions_of_the_user_are_metrics(home: Path, finished: ub.Run) -> None:
    def words(response: str) -> int:
        return len(response.split())

    folder = home / "own-metrics"
    found = ub.evaluate(
        finished,
        data=[{"prompt": "sky?", "answer": "4"}, {"prompt": "sun?", "answer": "5"}],
        suite="custom",
        metrics=[words, "same_number"],
        to=folder,
        max_tokens=4,
    )
    own = [each for each in found.results if each.suite == "custom"]
    assert {each.name for each in own} == {"words", "same_number"}
    assert found.get("words").count == 2


def test_a_reward_model_scores_rows(home: Path) -> None:
    make_reward(home / "m", home / "r")
    rows = [{"prompt": "Is it red?", "response": text} for text in ("Yes.", "No.")]
    scored = ub.score("r", rows, threads=1, dtype="float32", to="scores.jsonl")
    assert [row["text"] for row in scored] == ["Yes.", "No."]
    assert scored[0]["score"] != scored[1]["score"]
    lines = (home / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == scored
    with pytest.raises(ub.InputError, match=r"scores.jsonl: exists already; choose another file"):
        ub.score("r", rows, to="scores.jsonl")


@pytest.mark.usefixtures("home")
def test_data_is_checked_before_training() -> None:
    rows: list[dict[str, object]] = [*demonstrations(), {"messages": []}]
    check = ub.check(rows, model="m")
    assert [each.title for each in check.failures] == ["rows"]
    assert ub.check(demonstrations()).failures == ()

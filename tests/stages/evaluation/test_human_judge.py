"""People as judges: answers, a page, a saved file, and the same command again."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import small
from tests.commands import done, upbring
from tests.evaluate.scripted import user_prompt
from upbring.errors import InputError
from upbring.evaluate.preference import ModelAnswers
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.human_judge import (
    check_votes,
    is_human_judge,
    load_votes,
    votes_waiting_text,
    write_voting_page,
)

PROMPTS = [user_prompt(f"What is {i}?") for i in range(30)]
ANSWERS = ModelAnswers(
    PROMPTS,
    {
        "base": [f"b{i}" for i in range(30)],
        "sft": [f"s{i}" if i else "b0" for i in range(30)],
    },
)
MODELS = ["base", "sft"]


def settings(folder: Path, **more: object) -> EvaluateSettings:
    (folder / "out").mkdir(exist_ok=True)
    usual = {
        "models": ("base", "sft"),
        "to": folder / "out",
        "judge": f"votes:{folder / 'v.jsonl'}",
    }
    return EvaluateSettings.model_validate({**usual, **more})


def pairs(folder: Path) -> list[dict[str, list[str]]]:
    lines = (folder / "out" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def voted(folder: Path, rows: Sequence[dict[str, list[str]]], *, who: str = "ann") -> None:
    """Save the votes of a person who prefers answers that begin with an s."""
    text = "".join(
        json.dumps({**row, "ranks": [2 - t.startswith("s") for t in row["responses"]]}) + "\n"
        for row in rows
    )
    (folder / "v.jsonl").write_text(text.replace('"ranks"', f'"annotator": "{who}", "ranks"'))


def test_the_page_is_blind_and_depends_on_the_seed(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (
        write_voting_page(found, ANSWERS) == 29
    )  # both models give the same answer to the first prompt
    rows = pairs(tmp_path)
    firsts = [row["responses"][0][0] for row in rows]
    assert 5 < firsts.count("s") < 24
    page = (tmp_path / "out" / "rank.html").read_text(encoding="utf-8")
    held = re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    assert json.loads(held[1]) == rows
    assert "sft" not in page
    assert "pairs.jsonl" in page
    # the order of the models does not matter, the seed does
    write_voting_page(
        found, ModelAnswers(PROMPTS, {name: ANSWERS.texts[name] for name in ("sft", "base")})
    )
    assert pairs(tmp_path) == rows
    write_voting_page(settings(tmp_path, seed=1), ANSWERS)
    assert pairs(tmp_path) != rows


def test_missing_votes_are_requested_and_then_counted(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert load_votes(found, MODELS) is None
    waiting_text = votes_waiting_text(found)
    assert waiting_text is not None
    assert f"open {tmp_path / 'out' / 'rank.html'} in a browser" in waiting_text
    assert f"save the file as {tmp_path / 'v.jsonl'}" in waiting_text
    write_voting_page(found, ANSWERS)
    voted(tmp_path, pairs(tmp_path))
    assert votes_waiting_text(found) is None
    votes = load_votes(found, MODELS)
    assert votes is not None
    assert check_votes(found, ANSWERS, votes).endswith("v.jsonl: 29 valid votes")
    now = ModelAnswers(PROMPTS[:10], {name: texts[:10] for name, texts in ANSWERS.texts.items()})
    assert check_votes(found, now, votes).endswith(
        "9 valid votes; 20 votes are about other prompts, 0 about answers that no model gives now"
    )


def test_votes_of_which_none_counts_are_refused(tmp_path: Path) -> None:
    found = settings(tmp_path)
    write_voting_page(found, ANSWERS)
    voted(tmp_path, pairs(tmp_path))
    votes = load_votes(found, MODELS)
    assert votes is not None
    changed = ModelAnswers(PROMPTS[:5], {"base": ["x"] * 5, "sft": ["y"] * 5})
    with pytest.raises(InputError) as caught:
        check_votes(found, changed, votes)
    assert (
        "none of its 29 votes is valid: 25 votes are about other prompts, 4 about answers that no "
        "model "
        "gives now; use the --data that was voted on, or rank the answers of"
    ) in str(caught.value)


def test_people_compare_two_models_to_nine(tmp_path: Path) -> None:
    for names in (["a"], [*"abcdefghij"]):
        with pytest.raises(InputError, match=r"judge: people compare 2 to 9 models, and \d+ are"):
            load_votes(settings(tmp_path), names)
    with pytest.raises(InputError, match=r"votes: without a file; write votes:votes\.jsonl"):
        load_votes(settings(tmp_path, judge="votes:"), MODELS)
    assert not is_human_judge("runs/votes")
    assert not is_human_judge(None)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    small.make_model(tmp_path / "a")
    small.make_model(tmp_path / "b", seed=1)
    rows = [
        {"prompt": f"What is the {thing} like{when}?"}
        for when in ("", " now", " then", " today")
        for thing in small.THINGS
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


WORDS = ("--suite", "preference", "--data", "p.jsonl", "--judge", "votes:v.jsonl", "--to", "out")
QUICK = ("--max-tokens", "4", "--threads", "1", "--dtype", "float32")


def test_after_the_votes_the_same_command_continues(home: Path) -> None:
    words = ("evaluate", "a", "b", *WORDS, *QUICK)
    first = done(home, *words)
    assert "waiting for people; open out/rank.html" in first.out
    assert "win_rate" not in first.out
    answers = (home / "out" / "answers.jsonl").read_bytes()
    rows = pairs(home)
    voted(home, rows)
    second = done(home, *words)
    assert "v.jsonl: " in second.err
    assert "waiting for people" not in second.out
    results = json.loads((home / "out" / "results.json").read_text())["results"]
    names = {each["name"] for each in results}
    assert {"win_rate", "win_rate_length_controlled", "strength"} <= names
    assert (home / "out" / "answers.jsonl").read_bytes() == answers  # no model answers again


def test_a_pipeline_waits_for_votes_at_its_end(home: Path) -> None:
    (home / "r.yaml").write_text(
        """
model: a
defaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl, learning_rate: 0.05}
evaluate:
  {data: p.jsonl, suite: preference, judge: "votes:v.jsonl", max_tokens: 4, threads: 1}
gates: {win_rate: ">= 0"}
"""
    )
    small.make_demonstrations(home / "d.jsonl", 8)
    first = upbring(home, "run", "r.yaml", "--to", "out")
    assert first.code == 0, first.err
    assert "waiting for people; open out/evaluation/rank.html" in first.err
    assert json.loads((home / "out" / "recipe.json").read_text())["status"] == "waiting"
    lines = (home / "out" / "evaluation" / "pairs.jsonl").read_text().splitlines()
    voted(home, [json.loads(line) for line in lines])
    second = done(home, "run", "r.yaml", "--to", "out")
    assert "sft: finished before, kept" in second.err
    assert "gate win_rate >= 0: passed" in second.err

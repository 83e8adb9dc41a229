import json
from pathlib import Path

import pytest

from tests import small
from tests.commands import done
from upbring.data.read.records import Message
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.collection.collect import AnsweredPrompt
from upbring.stages.evaluation.reward_judge import (
    make_reward_ranker,
    make_reward_scorer,
    rank_scores,
)

PROMPT = (Message("user", "What is the sky like?"),)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    rows = [
        {"prompt": f"What is the {t} like?", "chosen": f"It is {w}.", "rejected": f"No {w}"}
        for t in small.THINGS
        for w in small.WORDS
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--steps", "3", "--threads", "1", "--dtype", "float32", "--name", "rm")
    done(folder, "reward", "pairs.jsonl", "--model", "m", *words)
    return folder


def test_a_reward_model_scores_and_ranks_the_same_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    settings = EvaluateSettings(models=("m",), threads=1, dtype="float32")
    answers = ("It is blue.", "No blue", "It is blue.")
    judge = make_reward_scorer(settings, "runs/rm")
    scores = judge.scores([(PROMPT, text) for text in answers])
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)
    assert not judge.is_synthetic
    (ranks,) = make_reward_ranker(settings, "runs/rm")([AnsweredPrompt(PROMPT, answers[:2], "")])
    assert ranks == rank_scores(scores[:2])


def test_equal_scores_are_ties() -> None:
    assert rank_scores([0.5, 2.0, 0.5, -1.0]) == (2, 1, 2, 3)

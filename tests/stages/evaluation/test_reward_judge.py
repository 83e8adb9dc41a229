import json
from pathlib import Path

import pytest

from tests import small
from tests.road import done
from upbring.data.read.records import Message
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.collection.collect import Asked
from upbring.stages.evaluation.reward_judge import by_reward, ranked, scorer

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
    words = ("--steps", "3", "--threads", "1", "--precision", "float32", "--name", "rm")
    done(folder, "reward", "pairs.jsonl", "--model", "m", *words)
    return folder


def test_a_reward_model_scores_and_ranks_the_same_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    settings = EvaluateSettings(models=("m",), threads=1, precision="float32")
    answers = ("It is blue.", "No blue", "It is blue.")
    judge = scorer(settings, "runs/rm")
    scores = judge.scores([(PROMPT, text) for text in answers])
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)
    assert not judge.is_synthetic
    (ranks,) = by_reward(settings, "runs/rm")([Asked(PROMPT, answers[:2], "")])
    assert ranks == ranked(scores[:2])


def test_equal_scores_are_ties() -> None:
    assert ranked([0.5, 2.0, 0.5, -1.0]) == (2, 1, 2, 3)

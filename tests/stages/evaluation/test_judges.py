import json
import shutil
from pathlib import Path

import pytest

from tests.judge.scripted_judge import about
from tests.remote.scripted_server import Body, Scripted, chat, serving
from upbring.errors import InputError
from upbring.judge.endpoint_judge import DecisionJudge, EndpointJudge
from upbring.judge.scoring_judges import RuleJudge
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.judges import (
    JudgeOptions,
    LazyLocalJudge,
    compares,
    is_reward_model,
    make_named_judge,
)
from upbring.stages.open_client import CALLS_FILE, open_calls

COMPUTE = EvaluateSettings(models=("a",), threads=1, dtype="float32")
OPTIONS = JudgeOptions(COMPUTE)


def test_each_name_gives_its_judge(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def brief(response):\n    return -len(response)\n")
    assert isinstance(make_named_judge("http://localhost:1/v1", OPTIONS), EndpointJudge)
    assert isinstance(make_named_judge("http://localhost:1/v1/systemone", OPTIONS), DecisionJudge)
    assert isinstance(make_named_judge("json", OPTIONS), RuleJudge)
    mine = make_named_judge(f"{tmp_path / 'mine.py'}:brief", OPTIONS)
    assert mine.judge([about("Q", "long", "a")])[0].choices == (0.0, 1.0)
    assert isinstance(make_named_judge("builtin:sprout", OPTIONS), LazyLocalJudge)


def test_a_reward_model_is_known_by_its_files(model_folder: Path, tmp_path: Path) -> None:
    assert not is_reward_model(str(model_folder))
    copy = tmp_path / "reward"
    shutil.copytree(model_folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (copy / "config.json").write_text(json.dumps(config))
    assert is_reward_model(str(copy))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"task_type": "SEQ_CLS"}')
    assert is_reward_model(str(adapter))
    assert not compares(str(copy))
    assert compares(str(model_folder))


def test_what_compares_is_known_without_a_call(tmp_path: Path) -> None:
    assert compares("http://localhost:1/v1")
    assert compares("json")
    assert not compares(str(tmp_path / "not-there-yet"))


def test_a_language_model_is_loaded_on_its_first_question() -> None:
    judge = LazyLocalJudge("builtin:sprout", OPTIONS)
    assert judge._judge is None
    (found,) = judge.judge([about("What is the capital of France?", "Paris.", "Rome.")])
    assert found.label_mass is not None
    reasoning = LazyLocalJudge("builtin:sprout", JudgeOptions(COMPUTE, has_reasoning=True))
    assert judge.identity != reasoning.identity


def test_a_server_judges_once_per_question_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def answer(_: Body) -> Scripted:
        return chat("A", logprobs={"A": -0.1, "B": -3.0})

    with serving(answer) as server:
        for _ in range(2):
            options = JudgeOptions(COMPUTE, open_calls(tmp_path / CALLS_FILE))
            judge = make_named_judge(server.url, options)
            assert judge.judge([about("Q", "x", "y")])[0].is_flipped
        assert len(server.requests) == 2


def test_an_unknown_function_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judge: .*nothing\.py cannot be read"):
        make_named_judge(f"{tmp_path / 'nothing.py'}:f", OPTIONS)

"""Rewards: models, rules and penalties, together and separately."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests import small, tolerances
from tests.rewarded import make_reward, scored
from upbring.algorithms.rollout_batch import Rollout
from upbring.algorithms.sample_round import RewardFunction
from upbring.data.read.prompt_rows import PromptRows
from upbring.data.read.records import Message
from upbring.data.trees.tree import Branch, Tree
from upbring.errors import InputError
from upbring.judge.reward_model import Combination, ResponseGroup, load_reward_models
from upbring.stages.reward_functions import (
    CombinedReward,
    FunctionReward,
    GoldReward,
    TextReward,
    load_functions,
    parse_weighted_name,
)
from upbring.toyworld.tasks import as_row, fact_task
from upbring.toyworld.world import load_world


def rollout(text: str, *, tokens: int = 3, has_ended: bool = True, key: str = "p:1") -> Rollout:
    prompt = np.array([1], np.int32)
    response = np.zeros(tokens, np.int32)
    tree = Tree(prompt, (Branch(response, np.ones(tokens, np.float32)),), key)
    return Rollout(key, prompt, response, "asked", text, has_ended, tree)


def constant(value: float) -> object:
    def reward(rollouts: Sequence[Rollout]) -> list[float]:
        return [value] * len(rollouts)

    return reward


def constant_if(text: str, value: float) -> RewardFunction:
    return lambda rollouts: [value * (each.text == text) for each in rollouts]


def fixed_scores(scores: npt.NDArray[np.float64]) -> RewardFunction:
    return lambda rollouts: scores[: len(rollouts)].tolist()


def test_models_rules_and_penalties_add_up() -> None:
    reward = CombinedReward(
        models=((constant(2.0), 1.0), (constant(4.0), 0.5)),  # type: ignore[arg-type]
        functions=((constant_if("{}", 1.0), 3.0),),
        length_penalty=0.1,
        missing_eos_penalty=1.0,
    )
    some = [rollout("{}"), rollout("no"), rollout("{}", tokens=10, has_ended=False)]
    # 2 + 4/2 = 4; 3 more for valid JSON; 0.1 less per token; 1 less without a stop token
    found = reward(some)
    assert found == pytest.approx([4 + 3 - 0.3, 4 - 0.3, 4 + 3 - 1.0 - 1])
    assert found.sources.tolist() == [[2, 4, 1], [2, 4, 0], [2, 4, 1]]  # before weights


@pytest.mark.parametrize(
    ("combine", "naive"),
    [
        ("sum", lambda r: r[0] + r[1] + r[2]),
        ("mean", lambda r: (r[0] + r[1] + r[2]) / 3),
        ("worst", min),
        ("cautious", lambda r: statistics.fmean(r) - 0.7 * statistics.pstdev(r)),
    ],
)
def test_an_ensemble_is_combined_as_set(
    combine: Combination | Literal["sum"], naive: Callable[[list[float]], float]
) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 4))  # of three models for four responses
    weights = (1.0, 0.25, 2.0)
    models = tuple((fixed_scores(row), weight) for row, weight in zip(scores, weights, strict=True))
    reward = CombinedReward(models, combine=combine, spread=0.7, length_penalty=0.1)
    expected = [naive([*map(math.prod, zip(weights, column, strict=True))]) for column in scores.T]
    found = reward([rollout("x")] * 4)
    assert found == pytest.approx([each - 0.3 for each in expected], abs=1e-12)


def test_functions_are_loaded_with_their_weights_and_called_with_the_row(tmp_path: Path) -> None:
    file, code = tmp_path / "p.jsonl", tmp_path / "rewards.py"
    file.write_text('{"prompt": "2 + 2?", "answer": "4"}\n\n{"prompt": "3 + 4?", "answer": "7"}\n')
    code.write_text("def right(response, row):\n    return response == row['answer']\n")

    def length(prompt: str, response: str) -> float:
        return len(prompt) + len(response)

    functions = load_functions([f"{code}:right=2", "same_number"], [(length, 0.5), "json=3"])
    assert [(f.name, weight) for f, weight in functions] == [
        ("rewards.py:right", 2.0),
        ("same_number", 1.0),
        ("length", 0.5),
        ("json", 3.0),
    ]
    rows = PromptRows((file,), lambda: tmp_path)
    some = [rollout("4", key=f"{file}:1"), rollout("= 7", key=f"{file}:3")]
    each = [FunctionReward(f, rows, lambda: None, print)(some) for f, _ in functions]
    assert each == [[1.0, 0.0], [1.0, 1.0], [7.0, 9.0], [1.0, 0.0]]


def test_a_row_that_a_rule_cannot_read_is_found_in_advance(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "a", "answer": "1"}\n{"prompt": "b", "reply": "2"}\n')
    trees = [rollout("", key=f"{file}:{line}").tree for line in (1, 2)]
    ((function, _),) = load_functions(["exact"])
    reward = FunctionReward(function, PromptRows((file,), lambda: tmp_path), lambda: None, print)
    reward.check_rows(trees[:1])
    expected = r"p.jsonl:2: has no column answer or answers \(its columns: prompt, reply\), which"
    with pytest.raises(InputError, match=expected):
        reward.check_rows(trees)


def test_a_name_may_carry_a_weight() -> None:
    assert parse_weighted_name("runs/a=b=-2", "reward_model") == ("runs/a=b", -2.0)
    with pytest.raises(InputError, match="reward_function: 'json=x' has no number after the =; "):
        parse_weighted_name("json=x", "reward_function")


def test_the_gold_reward_scores_the_toy_worlds_own_prompts(tmp_path: Path) -> None:
    world = load_world()
    (entity, *_) = world.entities
    (fact, *_) = world.facts_about(entity)
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(as_row(fact_task(world, fact, question="Who?"))) + "\n")
    other = tmp_path / "x.jsonl"
    other.write_text('{"prompt": "Who?"}\n')
    gold = GoldReward(PromptRows((file, other), lambda: tmp_path))
    wrong = rollout("I do not know.", key=f"{file}:1")
    task = fact_task(world, fact, question="Who?")
    right = rollout(task.reference, key=f"{file}:1")
    first, second = gold([right, wrong])
    assert first > second
    with pytest.raises(InputError, match=r"x.jsonl:1: has no `task`, and builtin:gold can only"):
        gold([rollout("x", key=f"{other}:1")])


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_judge_of_another_base_uses_its_own_tokens_and_template(tmp_path: Path) -> None:
    """The scores do not depend on the policy's tokens."""
    small.make_model(tmp_path / "n", seed=3)
    folder = make_reward(tmp_path / "n", tmp_path / "other", seed=4)
    (model,) = load_reward_models(
        [str(folder)], device=torch.device("cpu"), compute_dtype=torch.float32, log=print
    )
    file = tmp_path / "p.jsonl"
    talks = {
        f"{file}:1": (Message("user", "sky?"),),
        f"{file}:2": (Message("user", "sun?"), Message("assistant", "?"), Message("user", "!")),
        f"{file}:3": (Message("user", "red " * 600),),
    }
    rows = [
        {"messages": [{"role": m.role, "content": m.content} for m in t]} for t in talks.values()
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reread = TextReward("other", model, PromptRows((file,), lambda: tmp_path), lambda: None)
    lines = [(2, "No."), (1, "It is blue."), (1, ""), (2, "It is blue.")]
    texts = [(f"{file}:{line}", text) for line, text in lines]
    groups = [ResponseGroup(talks[key], (text,)) for key, text in texts]
    expected = [score for (score,) in scored(tmp_path / "n", folder, groups)]
    found = reread([rollout(text, key=key) for key, text in texts])
    assert found == pytest.approx(expected, abs=tolerances.LOGPROBS)
    assert len({round(score, 3) for score in found}) == len(texts)
    with pytest.raises(InputError, match=r"other: cannot score the response 'No\.' to .*:3: its "):
        reread([rollout("No.", key=f"{file}:3")])

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
from upbring.data.read.records import Message
from upbring.data.trees.tree import Branch, Tree
from upbring.errors import InputError
from upbring.judge.reward_model import Combination, ResponseGroup, load_reward_models
from upbring.stages.reward_functions import (
    RULES,
    CombinedReward,
    GoldReward,
    TextReward,
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


def fixed_scores(scores: npt.NDArray[np.float64]) -> RewardFunction:
    return lambda rollouts: scores[: len(rollouts)].tolist()


def test_models_rules_and_penalties_add_up() -> None:
    reward = CombinedReward(
        models=((constant(2.0), 1.0), (constant(4.0), 0.5)),  # type: ignore[arg-type]
        rules=((RULES["is_json"], 3.0),),
        length_penalty=0.1,
        missing_eos_penalty=1.0,
    )
    some = [rollout("{}"), rollout("no"), rollout("{}", tokens=10, has_ended=False)]
    # 2 + 4/2 = 4; 3 more for valid JSON; 0.1 less per token; 1 less without a stop token
    assert reward(some) == pytest.approx([4 + 3 - 0.3, 4 - 0.3, 4 + 3 - 1.0 - 1])


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


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("is_json", "[1]"),
        ("is_list", "- a\n- b"),
        ("is_one_sentence", "One."),
        ("is_refusal", "I'm sorry, but I can't help with that."),
    ],
)
def test_each_rule_rewards_what_it_is_named_after(rule: str, text: str) -> None:
    reward = CombinedReward((), ((RULES[rule], 1.0),))
    assert reward([rollout(text), rollout("Well, and")]) == [1.0, 0.0]


def test_a_name_may_carry_a_weight() -> None:
    assert parse_weighted_name("runs/a=b=-2", "reward_model") == ("runs/a=b", -2.0)
    with pytest.raises(InputError, match="rule: 'is_json=x' has no number after the =; write it"):
        parse_weighted_name("is_json=x", "rule")


def test_the_gold_reward_scores_the_toy_worlds_own_prompts(tmp_path: Path) -> None:
    world = load_world()
    (entity, *_) = world.entities
    (fact, *_) = world.facts_about(entity)
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(as_row(fact_task(world, fact, question="Who?"))) + "\n")
    gold = GoldReward([file])
    wrong = rollout("I do not know.", key=f"{file}:1")
    gold([wrong])
    task = gold.tasks[f"{file}:1"]
    right = rollout(task.reference, key=f"{file}:1")
    first, second = gold([right, wrong])
    assert first > second
    with pytest.raises(InputError, match=r"x:1: has no `task`, and builtin:gold can only score"):
        gold([rollout("x", key="x:1")])


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_judge_of_another_base_uses_its_own_tokens_and_template(tmp_path: Path) -> None:
    """The scores do not depend on the policy's tokens."""
    small.make_model(tmp_path / "n", seed=3)
    folder = make_reward(tmp_path / "n", tmp_path / "other", seed=4)
    (model,) = load_reward_models(
        [str(folder)], device=torch.device("cpu"), compute_dtype=torch.float32, log=print
    )
    talks = {
        "p:1": (Message("user", "sky?"),),
        "p:2": (Message("user", "sun?"), Message("assistant", "?"), Message("user", "!")),
        "p:3": (Message("user", "red " * 600),),
    }
    reread = TextReward("other", model, lambda: talks, lambda: None)
    texts = [("p:2", "No."), ("p:1", "It is blue."), ("p:1", ""), ("p:2", "It is blue.")]
    groups = [ResponseGroup(talks[key], (text,)) for key, text in texts]
    expected = [score for (score,) in scored(tmp_path / "n", folder, groups)]
    found = reread([rollout(text, key=key) for key, text in texts])
    assert found == pytest.approx(expected, abs=tolerances.LOGPROBS)
    assert len({round(score, 3) for score in found}) == len(texts)
    with pytest.raises(InputError, match=r"other: cannot score the response 'No\.' to p:3: its "):
        reread([rollout("No.", key="p:3")])

"""What rewards: models, rules and penalties, together and apart."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from upbring.algorithms.rollout import Rollout
from upbring.errors import InputError
from upbring.nursery.tasks import as_row, fact_task
from upbring.nursery.world import load_world
from upbring.recipe.rewards import RULES, Gold, Judged, named


def rollout(text: str, *, tokens: int = 3, has_ended: bool = True, key: str = "p:1") -> Rollout:
    prompt = np.array([1], np.int32)
    return Rollout(key, prompt, np.zeros(tokens, np.int32), "asked", text, has_ended)


def constant(value: float) -> object:
    def reward(rollouts: Sequence[Rollout]) -> list[float]:
        return [value] * len(rollouts)

    return reward


def test_models_rules_and_penalties_add_up() -> None:
    judged = Judged(
        models=((constant(2.0), 1.0), (constant(4.0), 0.5)),  # type: ignore[arg-type]
        rules=((RULES["is_json"], 3.0),),
        length_penalty=0.1,
        missing_stop_penalty=1.0,
    )
    some = [rollout("{}"), rollout("no"), rollout("{}", tokens=10, has_ended=False)]
    # 2 + 4/2 = 4; valid JSON 3 more; a tenth a token; 1 less without an end
    assert judged(some) == pytest.approx([4 + 3 - 0.3, 4 - 0.3, 4 + 3 - 1.0 - 1])


def test_an_ensemble_may_be_as_sceptical_as_its_worst_member() -> None:
    judged = Judged(
        ((constant(2.0), 1.0), (constant(4.0), 0.25)),  # type: ignore[arg-type]
        takes_least=True,
    )
    assert judged([rollout("x")]) == [1.0]


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
    judged = Judged((), ((RULES[rule], 1.0),))
    assert judged([rollout(text), rollout("Well, and")]) == [1.0, 0.0]


def test_a_name_may_carry_a_weight() -> None:
    assert named("runs/a=b=-2", "reward") == ("runs/a=b", -2.0)
    with pytest.raises(InputError, match="rule: 'is_json=x' has no number after the =; write it"):
        named("is_json=x", "rule")


def test_the_world_knows_the_truth_about_its_own_prompts(tmp_path: Path) -> None:
    world = load_world()
    (entity, *_) = world.entities
    (fact, *_) = world.facts_about(entity)
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(as_row(fact_task(world, fact, question="Who?"))) + "\n")
    gold = Gold([file])
    wrong = rollout("I do not know.", key=f"{file}:1")
    gold([wrong])
    task = gold.tasks[f"{file}:1"]
    right = rollout(task.reference, key=f"{file}:1")
    first, second = gold([right, wrong])
    assert first > second
    with pytest.raises(InputError, match=r"x:1: has no `task`, and builtin:gold knows"):
        gold([rollout("x", key="x:1")])

"""The workload of a stage that is trained on its own responses."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from tests import small
from tests.rewarded import make_reward
from upbring.settings.resolve import resolve
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.rl_workload import count_roles, workload_from_rollouts
from upbring.stages.planning.workload import Workload
from upbring.stages.registry import find_method, load_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    small.make_model(folder / "m")
    small.make_model(folder / "other", seed=1)
    make_reward(folder / "m", folder / "r")
    make_reward(folder / "other", folder / "strange")
    small.make_demonstrations(folder / "d.jsonl")
    (folder / "p.jsonl").write_text('{"prompt": "What is red?"}\n' * 40)
    return folder


def make_context(home: Path, method: str = "ppo", **more: object) -> StageContext:
    flags = {
        "model": str(home / "m"),
        "prompts": [str(home / "p.jsonl")],
        "reward_model": [str(home / "r")],
        "dtype": "float32",
        "threads": "1",
        "max_response_length": "10",
        "batch_size": "4",
        **more,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        kind = load_settings(find_method(method))
        resolved = resolve(kind, section=method, file=None, flags=flags)
        return make_dry_run_context(method, resolved, log=lambda _: None)


def make_workload(home: Path, method: str = "ppo", **more: object) -> Workload:
    return workload_from_rollouts(make_context(home, method, **more))


def test_a_step_is_planned_with_responses_of_the_maximum_length(home: Path) -> None:
    found = make_workload(home, num_generations="3", num_mini_batches="2", update_epochs="2")
    assert found.time.step_rows == 4 * 3 * 10
    assert found.memory.train_rows == 4 * 3 * 10
    # 38 prompts, 8 in a round: 4.75 rounds, hence 5, of 2 · 2 steps
    assert found.time.steps == 20
    # a round samples 24 responses at once, 10 tokens each, for four steps
    assert found.memory.concurrent_responses == 24
    assert found.time.decode_steps == 10 / 4
    tree = found.trees[0]
    assert [len(branch.tokens) for branch in tree.branches] == [10, 10, 10]


def test_every_role_scores_a_round(home: Path) -> None:
    # in float32 the policy's log-probabilities are those of sampling: these roles score
    found, none = (
        make_workload(home, update_epochs="1"),
        make_workload(home, update_epochs="1", reward_model=[], reward_function=["json"]),
    )
    tokens = found.time.step_tokens
    prompt = tokens - 4 * 10
    assert found.time.scored_tokens == 3 * tokens + prompt
    assert none.time.scored_tokens == 2 * tokens + prompt
    assert found.time.scored_rows == 40
    half = make_workload(home, update_epochs="1", dtype="bfloat16")
    assert half.time.scored_tokens == 4 * tokens + prompt
    assert half.time.scored_rows == 80


@pytest.mark.parametrize(
    ("method", "more", "trained", "scoring", "resting"),
    [
        ("ppo", {}, 2, 2, 1),
        ("ppo", {"value_model": "trunk"}, 1, 1, 1),
        ("grpo", {}, 1, 1, 1),
        ("rloo", {"ema_decay": "0.9"}, 1, 1, 2),
        ("ppo", {"judge": "r"}, 2, 2, 2),
        ("ppo", {"judge": "builtin:gold"}, 2, 2, 1),
        ("ppo", {"tune": "full"}, 1, 2, 0),
    ],
)
def test_every_role_is_counted(
    home: Path, method: str, more: dict[str, str], trained: int, scoring: int, resting: int
) -> None:
    more = {name: str(home / "r") if value == "r" else value for name, value in more.items()}
    work = make_workload(home, method, **more).memory
    assert (work.trainable_adapters, work.passes_per_token, work.frozen_adapters) == (
        trained,
        scoring,
        resting,
    )


def test_another_base_and_a_second_copy_have_their_bytes(home: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(home / "m")
    frequencies = 4 * network.config.head_dim  # of the rotary embedding, kept twice
    weights = 4 * sum(p.numel() for p in network.parameters())
    strange = count_roles(make_context(home, reward_model=[str(home / "strange")]))
    assert (strange.other_model_bytes, strange.frozen_adapters, strange.reward_models) == (
        weights + frequencies,
        0,
        1,
    )
    assert count_roles(make_context(home)).other_model_bytes == 0
    full = count_roles(make_context(home, tune="full"))
    learned = 4 * demanded_adapter(home)
    # a reward's adapter, and a value's with its gradient and two moments
    assert full.other_model_bytes == weights + learned * (1 + 4)


def demanded_adapter(home: Path) -> int:
    """Return the numbers of an adapter of rank 16 on all linear layers, computed by hand."""
    del home
    d, kv, mlp = 32, 16, 48
    shapes = [(d, d), (d, kv), (d, kv), (d, d), (d, mlp), (d, mlp), (mlp, d)]
    return 2 * 16 * sum(a + b for a, b in shapes)  # two layers


def test_replayed_rows_are_counted(home: Path) -> None:
    plain, mixed = make_workload(home), make_workload(home, mix=[f"{home / 'd.jsonl'}=0.2"])
    assert mixed.memory.micro_batches == plain.memory.micro_batches + 1
    assert mixed.time.step_tokens > plain.time.step_tokens
    assert (
        make_workload(home, mix=[f"{home / 'd.jsonl'}=0.2"], mix_weight="0").memory == plain.memory
    )

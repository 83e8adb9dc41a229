"""What is asked of a model that learns from its own responses."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from tests import small
from tests.rewarded import make_reward
from upbring.settings.command_table import imported, verbs
from upbring.settings.resolve import resolve
from upbring.stages.context import Cast
from upbring.stages.planning.dry_model import rehearsed
from upbring.stages.planning.rl_workload import company
from upbring.stages.planning.workload import Demand, demanded


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


def cast(home: Path, verb: str = "ppo", **more: object) -> Cast:
    flags = {
        "model": str(home / "m"),
        "prompts": [str(home / "p.jsonl")],
        "reward": [str(home / "r")],
        "precision": "float32",
        "threads": "1",
        "response_tokens": "10",
        "step_examples": "4",
        **more,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        kind = imported(verbs()[verb].settings)
        asked = resolve(kind, section=verb, file=None, flags=flags)
        return rehearsed(verb, asked, notice=lambda _: None)


def asked(home: Path, verb: str = "ppo", **more: object) -> Demand:
    return demanded(cast(home, verb, **more))


def test_a_step_learns_from_responses_as_long_as_they_may_be(home: Path) -> None:
    found = asked(home, samples="3", minibatches="2", inner_epochs="2")
    assert found.course.rows == 4 * 3 * 10
    assert found.work.rows == 4 * 3 * 10
    # 38 prompts, 8 in a round: 4.75 rounds, hence 5, of 2 · 2 steps
    assert found.course.steps == 20
    # a round draws 24 responses at once, 10 tokens each, for four steps
    assert found.work.drawn == 24
    assert found.course.waves == 10 / 4
    tree = found.trees[0]
    assert [len(branch.tokens) for branch in tree.branches] == [10, 10, 10]


def test_a_round_is_looked_at_by_everybody(home: Path) -> None:
    # in float32 the policy's own numbers are those of the draw: reference, value, reward look
    found, none = (
        asked(home, inner_epochs="1"),
        asked(home, inner_epochs="1", reward=[], rule=["is_json"]),
    )
    tokens = found.course.tokens
    prompt = tokens - 4 * 10
    assert found.course.seen_tokens == 3 * tokens + prompt
    assert none.course.seen_tokens == 2 * tokens + prompt
    assert found.course.seen_rows == 40
    half = asked(home, inner_epochs="1", precision="bfloat16")
    assert half.course.seen_tokens == 4 * tokens + prompt
    assert half.course.seen_rows == 80


@pytest.mark.parametrize(
    ("verb", "more", "learning", "voices", "resting"),
    [
        ("ppo", {}, 2, 2, 1),
        ("ppo", {"value": "trunk"}, 1, 1, 1),
        ("grpo", {}, 1, 1, 1),
        ("rloo", {"ema": "0.9"}, 1, 1, 2),
        ("ppo", {"judge": "r"}, 2, 2, 2),
        ("ppo", {"judge": "builtin:gold"}, 2, 2, 1),
        ("ppo", {"tune": "full"}, 1, 2, 0),
    ],
)
def test_who_takes_part_is_counted(
    home: Path, verb: str, more: dict[str, str], learning: int, voices: int, resting: int
) -> None:
    more = {name: str(home / "r") if value == "r" else value for name, value in more.items()}
    work = asked(home, verb, **more).work
    assert (work.learning, work.voices, work.resting) == (learning, voices, resting)


def test_another_base_and_a_second_copy_have_their_bytes(home: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(home / "m")
    size = 4 * sum(p.numel() for p in network.parameters())
    strange = company(cast(home, reward=[str(home / "strange")]))
    assert (strange.others, strange.resting, strange.rewards) == (size, 0, 1)
    assert company(cast(home)).others == 0
    full = company(cast(home, tune="full"))
    learned = 4 * demanded_adapter(home)
    # a reward's adapter, and a value's with its gradient and two moments
    assert full.others == size + learned * (1 + 4)


def demanded_adapter(home: Path) -> int:
    """Return the numbers of an adapter of rank 16 on all linear layers, worked by hand."""
    del home
    d, kv, mlp = 32, 16, 48
    shapes = [(d, d), (d, kv), (d, kv), (d, d), (d, mlp), (d, mlp), (mlp, d)]
    return 2 * 16 * sum(a + b for a, b in shapes)  # two layers


def test_rows_that_are_replayed_are_learned_from_too(home: Path) -> None:
    plain, mixed = asked(home), asked(home, mix=[f"{home / 'd.jsonl'}=0.2"])
    assert mixed.work.parts == plain.work.parts + 1
    assert mixed.course.tokens > plain.course.tokens
    assert asked(home, mix=[f"{home / 'd.jsonl'}=0.2"], replay_weight="0").work == plain.work

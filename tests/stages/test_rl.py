"""PPO, GRPO and RLOO as stages: which role is on which base, and what is replayed."""

import json
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.algorithms.acting import given, round_of
from tests.commands import QUICK, curve, done, prepare
from tests.rewarded import make_reward
from tests.small import make_documents
from upbring.algorithms.ppo import Ppo
from upbring.errors import InputError, Interrupted, ResumeError
from upbring.interruption import Interruption
from upbring.judge.reward_model import load_reward_models
from upbring.model.heads import rewards
from upbring.model.network import require_one_rotary_scale
from upbring.model.roles import BASE
from upbring.runs.json_object import read_json_object
from upbring.runs.run_folder import Run
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve
from upbring.stages.context import StageContext
from upbring.stages.registry import find_method
from upbring.stages.rl import make_rl_algorithm
from upbring.stages.train_or_resume import _make_context, resume_training, train
from upbring.train.devices import Machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    make_reward(folder / "m", folder / "r")
    done(folder, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "s", "--rank", "3")
    return folder


def algorithm(
    home: Path, *, compute: torch.dtype = torch.float32, **given: object
) -> tuple[Ppo, StageContext]:
    flags = {
        "model": str(home / "runs/s"),
        "prompts": [str(home / "d.jsonl")],
        "reward_model": [str(home / "r")],
        "max_response_length": "5",
        "batch_size": "4",
        **given,
    }
    resolved = resolve(PpoSettings, section="ppo", file=None, flags=flags)
    machine = Machine(torch.device("cpu"), compute, 1)
    with Interruption() as interruption, pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        context = _make_context(
            find_method("ppo"), resolved, machine, interruption, Console(quiet=True), resumed=None
        )
    role = "policy" if resolved.settings.tune == "lora" else BASE
    if role != BASE:
        context.loaded.roles.add_adapter(role, resolved.settings, seed=0)
    found = make_rl_algorithm(context, role, algorithm_class=Ppo)
    assert isinstance(found, Ppo)
    return found, context


def test_the_value_model_starts_as_the_reward_model_on_a_fine_tuned_base(home: Path) -> None:
    ours, context = algorithm(home)
    assert ours.roles.value is not None
    next(iter(ours.batches(0)))
    batch = round_of(ours).batch
    roles = context.loaded.roles
    with torch.no_grad():
        with roles.active("reward_0"):
            scores = rewards(context.loaded.model, roles.heads["reward_0"], batch)  # [N]
        with ours.roles.value.active():
            same = rewards(context.loaded.model, roles.heads["value"], batch)
    assert torch.equal(scores, same)
    learned = ours.trainable[1].parameters
    assert all(parameter.requires_grad for parameter in learned.values())
    assert "head.value.weight" in learned
    frozen = [p for n, p in roles.parameters("reward_0").items() if "lora_" in n]
    assert not any(parameter.requires_grad for parameter in frozen)


def test_rewards_are_those_of_the_model_on_its_own_base(home: Path) -> None:
    ours, _ = algorithm(home, missing_eos_penalty="0")
    next(iter(ours.batches(0)))
    (alone,) = load_reward_models(
        [str(home / "r")],
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    expected = [float(v) for scores in alone.score_trees(round_of(ours).trees) for v in scores]
    found = round_of(ours).rewards.tolist()
    assert found == pytest.approx(expected, abs=1e-4)  # after an adapter was merged and unmerged


def test_an_ensemble_combines_the_rewards_of_its_members(home: Path) -> None:
    names = [str(home / "r"), str(make_reward(home / "m", home / "r2", seed=1))]
    ours, context = algorithm(
        home,
        reward_model=[names[0], f"{names[1]}=0.5"],
        combine="cautious",
        spread="2",
        missing_eos_penalty="0",
    )
    next(iter(ours.batches(0)))
    members = load_reward_models(
        names, device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    first, second = (
        [float(v) for scores in member.score_trees(round_of(ours).trees) for v in scores]
        for member in members
    )
    # the standard deviation of two numbers is half of their difference
    expected = [
        (a + b / 2) / 2 - 2 * abs(a - b / 2) / 2 for a, b in zip(first, second, strict=True)
    ]
    assert round_of(ours).rewards.tolist() == pytest.approx(expected, abs=2e-4)
    assert {"reward_0", "reward_1"} < set(context.loaded.roles.configs)


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_in_full_fine_tuning_the_kl_starts_at_0_too(home: Path, compute: torch.dtype) -> None:
    ours, _ = algorithm(home, compute=compute, tune="full", model=str(home / "m"))
    ours.is_rescored = True
    next(iter(ours.batches(0)))
    assert not given(round_of(ours).kl).any()


def _length(response: str) -> float:
    return len(response)


def test_a_reward_function_is_used_and_required_again_to_resume(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    rewards_by_text: dict[str, float] = {}

    def brief(response: str, row: dict[str, object]) -> float:
        assert set(row) == {"messages"}
        if len(rewards_by_text) > 5:  # in the second round
            signal.raise_signal(signal.SIGINT)
        return rewards_by_text.setdefault(response, -len(response) / 100)

    small = {"max_response_length": "4", "eval_prompts": "2", "steps": "2", "update_epochs": "1"}
    flags = {"model": "m", "prompts": ["d.jsonl"], **small, "missing_eos_penalty": "0"}
    resolved = resolve(PpoSettings, section="ppo", file=None, flags={**flags, "name": "brief"})
    with pytest.raises(InputError, match="reward_model: none is given"):
        train("ppo", resolved)
    with pytest.raises(Interrupted):
        train("ppo", resolved, rewards=[brief])
    run = Run(home / "runs/brief")
    with pytest.raises(ResumeError, match=r"reward_functions: the checkpoint has \['brief=1'\]"):
        resume_training(run, rewards=[_length])
    monkeypatch.setattr(signal, "raise_signal", lambda _: None)
    resume_training(run, rewards=[brief])
    rows = [json.loads(line) for line in (run.path / "samples.jsonl").read_text().splitlines()]
    assert {row["reward"] for row in rows} <= set(rewards_by_text.values())
    together = resolve(PpoSettings, section="ppo", file=None, flags={**flags, "processes": "2"})
    with pytest.raises(InputError, match="processes: reward functions and callbacks cannot be"):
        train("ppo", together, rewards=[brief])
    other = resolve(
        SftSettings, section="sft", file=None, flags={"model": "m", "data": ["d.jsonl"]}
    )
    with pytest.raises(InputError, match="rewards: sft samples no responses"):
        train("sft", other, rewards=[brief])


def test_all_roles_are_on_one_base_and_only_two_are_trainable(home: Path) -> None:
    ours, context = algorithm(home, judge=str(home / "r"))
    assert set(context.loaded.roles.configs) == {"policy", "reward_0", "value", "judge"}
    learned = {n for group in ours.parameters() for n in group.parameters}
    named = context.loaded.model.network.named_parameters()
    assert {n for n, p in named if p.requires_grad} == learned - {"head.value.weight"}


def test_documents_and_demonstrations_are_replayed_in_their_shares(home: Path) -> None:
    make_documents(home / "t.jsonl", 20)
    mix = [f"{home / 't.jsonl'}=0.25", f"{home / 'd.jsonl'}=0.25"]
    ours, _ = algorithm(home, mix=mix)
    assert ours.replay is not None
    rows = ours.replay.step_trees(0)
    assert len(rows) == 4  # as many as prompts: half of a step's rows are replayed
    assert sorted({Path(row.key.rpartition(":")[0]).name for row in rows}) == ["d.jsonl", "t.jsonl"]


def test_prompts_leave_room_for_a_response(home: Path) -> None:
    ours, _ = algorithm(home, max_length="60", max_response_length="12")
    lengths = [len(ours.prompts[i].prompt) for i in range(len(ours.prompts))]
    assert lengths
    assert max(lengths) <= 48
    assert all(not ours.prompts[i].branches for i in range(len(ours.prompts)))


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_with_ema_the_average_of_the_weights_is_written(home: Path, method: str) -> None:
    words = (method, "d.jsonl", "--model", "m", "--reward-function", "one_sentence", *QUICK)
    more = ("--max-response-length", "4", "--eval-prompts", "2", "--final-weights", "last")
    done(home, *words, *more, "--ema-decay", "0.999999", "--name", f"{method}-still")
    held = [line for line in curve(home / f"runs/{method}-still") if line["kind"] == "held_out"]
    assert float(str(held[-1]["kl"])) < 1e-6  # so slow an average has not moved


@pytest.mark.parametrize(
    "more", [("--value-model", "trunk"), ("--value-model", "trunk", "--tune", "full")]
)
def test_a_value_head_on_the_policy_does_not_make_it_a_reward_model(
    home: Path, more: tuple[str, ...]
) -> None:
    kept = finished(home, "-".join(["trunk", *more[2:]]).replace("--", ""), *more)
    if "--tune" in more:
        assert read_json_object(kept / "config.json")["architectures"] == ["LlamaForCausalLM"]
    else:
        assert read_json_object(kept / "adapter_config.json")["task_type"] == "CAUSAL_LM"
        assert not any("score" in name for name in load_file(kept / "adapter_model.safetensors"))


def test_dora_on_an_earlier_adapter_is_written_whole(home: Path) -> None:
    kept = finished(home, "dora", "--dora")  # an adapter cannot represent it, so that it is merged
    network = AutoModelForCausalLM.from_pretrained(kept)
    assert not any("lora" in name for name in network.state_dict())


def finished(home: Path, name: str, *more: str) -> Path:
    """Return the model of a run of two steps from an adapter."""
    words = ("ppo", "d.jsonl", "--model", "runs/s", "--reward-model", "r", *QUICK, "--steps", "2")
    short = ("--max-response-length", "4", "--eval-prompts", "2", "--update-epochs", "1")
    done(home, *words, *short, *more, "--name", name)
    return home / "runs" / name / "model"


def test_responses_that_may_reach_another_rotary_scaling_are_refused_at_the_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, context = algorithm(home)
    longest = max(len(tree.prompt) for tree in context.dataset.main)
    config = context.loaded.model.network.config
    for threshold in (longest + 5, longest + 4):
        rope = {"rope_type": "longrope", "original_max_position_embeddings": threshold}
        monkeypatch.setattr(config, "rope_parameters", rope)
        if threshold == longest + 5:
            require_one_rotary_scale(context.loaded.model, context.dataset.main, 5)
            continue
        with pytest.raises(InputError, match=f"set max_length to {threshold} or less"):
            make_rl_algorithm(context, "policy", algorithm_class=Ppo)

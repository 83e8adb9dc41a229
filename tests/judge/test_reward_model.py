"""Scores of one reward model or an ensemble, compared with plain transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import small, tolerances
from tests.rewarded import make_reward, scored
from upbring.data.chat.chat import make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read.records import Message
from upbring.errors import InputError, Interrupted
from upbring.judge.reward_model import (
    Ensemble,
    ResponseGroup,
    RewardModel,
    attach_reward_model,
    combine_scores,
    load_reward_models,
)
from upbring.model.load import load
from upbring.model.roles import BASE
from upbring.runs.contract import Contract, StopToken, write_contract

CPU = torch.device("cpu")
GROUPS = [
    ResponseGroup((Message("user", "sky?"),), ("It is blue.", "No.", "")),
    ResponseGroup(
        (Message("user", "sun?"), Message("assistant", "?"), Message("user", "!")), ("a b",)
    ),
    ResponseGroup((Message("user", "sky?"),), ("It is <|endoftext|> not.",)),
]


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    for seed in (1, 2):
        make_reward(folder / "m", folder / f"r{seed}", seed=seed)
    small.make_model(folder / "n", seed=3)
    make_reward(folder / "n", folder / "other", seed=4)
    return folder


def members(home: Path, *names: str) -> tuple[RewardModel, ...]:
    folders = [str(home / name) for name in names]
    return load_reward_models(folders, device=CPU, compute_dtype=torch.float32, log=silent)


def close(scores: list[np.ndarray], expected: list[list[float]]) -> bool:
    pairs = zip(scores, expected, strict=True)
    return all(np.allclose(a, b, atol=tolerances.LOGPROBS) for a, b in pairs)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
@pytest.mark.parametrize("budget", [1, 8192])
def test_a_score_is_the_head_on_the_last_token_of_each_response(home: Path, budget: int) -> None:
    (model,) = members(home, "r1")
    small_steps = RewardModel(model.loaded, BASE, model.chat, max_batch_tokens=budget)
    assert close(small_steps.scores(GROUPS), scored(home / "m", home / "r1", GROUPS))


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_adapters_of_one_base_share_it_and_another_base_is_loaded_separately(home: Path) -> None:
    one, two, other = members(home, "r1", "r2", "other")
    assert one.loaded is two.loaded
    assert other.loaded is not one.loaded
    assert close(two.scores(GROUPS), scored(home / "m", home / "r2", GROUPS))
    assert close(other.scores(GROUPS), scored(home / "n", home / "other", GROUPS))
    # The first model gives the same scores after the others were used.
    assert close(one.scores(GROUPS), scored(home / "m", home / "r1", GROUPS))


def test_an_ensemble_is_its_members_scores_combined(home: Path) -> None:
    both = members(home, "r2", "r1")
    first, second = (each.scores(GROUPS) for each in both)
    worst = Ensemble(both, "worst").scores(GROUPS)
    assert [w.tolist() for w in worst] == [
        np.minimum(a, b).tolist() for a, b in zip(first, second, strict=True)
    ]
    assert any((a > b).any() for a, b in zip(first, second, strict=True))


def test_cautious_subtracts_the_standard_deviation_of_the_members() -> None:
    scores = np.array([[2.0, 1.0], [4.0, 1.0], [0.0, 1.0]])  # σ of (2, 4, 0) is √(8/3)
    assert combine_scores(scores, "cautious", uncertainty_weight=0.5) == pytest.approx(
        [2 - 0.5 * (8 / 3) ** 0.5, 1]
    )
    assert (
        combine_scores(scores, "cautious", uncertainty_weight=0.0).tolist()
        == combine_scores(scores, "mean").tolist()
    )


def test_the_contracts_offset_and_template_are_used(home: Path, tmp_path: Path) -> None:
    folder = make_reward(home / "m", tmp_path / "r", seed=1)
    loaded = load(str(folder), device=CPU, compute_dtype=torch.float32, log=silent)
    tokenizer = load_tokenizer(folder)
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}<assistant>{% endif %}"
    contract = Contract(
        *("m", loaded.base_sha256, tokenizer.fingerprint, template, (StopToken(0, "x"),), 0, 0),
        *("reward", "lora"),
        offset=0.75,
    )
    write_contract(folder / "contract.json", contract)
    (model,) = load_reward_models(
        [str(folder)], device=CPU, compute_dtype=torch.float32, log=silent
    )
    bare = RewardModel(model.loaded, BASE, make_chat(tokenizer, template=template))
    expected = [scores - 0.75 for scores in bare.scores(GROUPS)]
    assert all(np.allclose(a, b) for a, b in zip(model.scores(GROUPS), expected, strict=True))
    base = load(str(home / "m"), device=CPU, compute_dtype=torch.float32, log=silent)
    attached = attach_reward_model(base, str(folder), "judge", log=silent).scores(GROUPS)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(attached, expected, strict=True))


def test_long_responses_are_truncated_and_score_nan_if_nothing_is_left(home: Path) -> None:
    (model,) = members(home, "r1")
    user = Message("user", "sky?")
    long = ResponseGroup((user,), ("red " * 300, "red " * 500))
    too_long = ResponseGroup((Message("user", "red " * 400),), ("a", "b"))
    cut, none, fine = model.scores([long, too_long, ResponseGroup((user,), ("red",))])
    assert cut[0] == pytest.approx(cut[1], abs=1e-5)
    assert np.isfinite(cut).all()
    assert np.isnan(none).all()
    assert np.isfinite(fine).all()


def test_a_response_that_the_template_rejects_scores_nan_and_affects_no_other(home: Path) -> None:
    (model,) = members(home, "r1")
    strict = (
        "{% for m in messages %}{% if m.content == 'never' %}{{ raise_exception('no') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    picky = RewardModel(model.loaded, BASE, make_chat(model.chat.tokenizer, template=strict))
    groups = [ResponseGroup((Message("user", "?"),), ("yes", "never", "so")), GROUPS[0]]
    partial, other = picky.scores(groups)
    assert np.isfinite(partial).tolist() == [True, False, True]
    assert np.isfinite(other).all()
    alone = picky.scores([ResponseGroup((Message("user", "?"),), ("so",))])
    assert partial[2] == pytest.approx(alone[0][0], abs=1e-6)


def test_a_model_without_a_reward_head_is_rejected(home: Path) -> None:
    with pytest.raises(InputError, match="m: has no reward head, so it cannot score; train one"):
        members(home, "m")


def test_scoring_can_be_interrupted(home: Path) -> None:
    def poll() -> None:
        raise Interrupted("stop")

    with pytest.raises(Interrupted):
        members(home, "r1")[0].scores(GROUPS, poll=poll)

import json
from pathlib import Path
from typing import Any

import pytest

from upbring.cli.preflight import training
from upbring.cli.preflight.training import check_training, model_names
from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.resolve import resolve
from upbring.stages.registry import find_method, load_settings

GOOD_ROW = json.dumps({"prompt": "Hi", "response": "Hello"})
PAIR = json.dumps({"prompt": "Hi", "chosen": "Hello", "rejected": "No"})


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chat.jsonl").write_text(GOOD_ROW + "\n")
    Path("bad.jsonl").write_text(f"{GOOD_ROW}\n{{not JSON\n")
    Path("pairs.jsonl").write_text(PAIR + "\n")
    Path("votes.jsonl").write_text(
        json.dumps({"prompt": "Hi", "response": "Hello", "label": True}) + "\n"
    )
    Path("prompts.jsonl").write_text('{"prompt": "Hi"}\n')


def settings(method: str, **flags: object) -> Any:
    flags = {"model": "builtin:sprout", **flags}
    return resolve(load_settings(find_method(method)), section=method, flags=flags).settings


def check(method: str, *, is_new_run: bool = True, **flags: object) -> None:
    check_training(find_method(method), settings(method, **flags), is_new_run=is_new_run)


def test_correct_inputs_pass() -> None:
    check("sft", data="chat.jsonl", mix="chat.jsonl=0.1", held_out="chat.jsonl")
    check("dpo", data="pairs.jsonl")
    check("kto", data="pairs.jsonl")
    check("kto", data="votes.jsonl")
    check("pretrain", data="hub:owner/name")
    check("sft", data="chat.jsonl", model="owner/name")
    check("grpo", prompts="prompts.jsonl", reward_model="builtin:gold")


def test_malformed_rows_of_a_small_file_are_found_and_of_a_large_one_left_to_the_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match=r"bad\.jsonl:2: "):
        check("sft", data="bad.jsonl")
    check("sft", data="bad.jsonl", skip_bad="skipped.jsonl")
    assert not Path("skipped.jsonl").exists()
    monkeypatch.setattr(training, "MAX_READ_BYTES", 5)
    check("sft", data="bad.jsonl")


def test_each_kind_of_mistake_is_listed() -> None:
    with pytest.raises(InputError) as caught:
        check("grpo", prompts="none.jsonl", model="./none", mix="absent.jsonl=0.1", judge="./no")
    lines = str(caught.value).splitlines()
    starts = ("none: ", "no: ", "none.jsonl: ", "absent.jsonl: ", "no reward is given; give --")
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_a_new_run_needs_a_free_name_and_a_plan_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Run.create(Path("runs"), "sft", name="mine")
    with pytest.raises(InputError, match="runs/mine: already exists"):
        check("sft", data="chat.jsonl", name="mine")
    check("sft", data="chat.jsonl", name="mine", is_new_run=False)
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun: another process may have created it
    check("sft", data="chat.jsonl", name="mine")


def test_the_models_of_rewards_are_named_without_their_weights() -> None:
    flags = {"prompts": "p.jsonl", "reward_model": ("a/b=0.5", "builtin:gold"), "judge": "c"}
    assert list(model_names(settings("ppo", **flags))) == ["builtin:sprout", "a/b", "c"]

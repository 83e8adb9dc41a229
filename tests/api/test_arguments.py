from pathlib import Path
from typing import Any

import numpy as np
import pytest

import upbring as ub
from upbring.api.arguments import model_name, resolve_arguments
from upbring.errors import InputError
from upbring.settings.methods.dpo import DpoSettings
from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve

ROWS = [{"prompt": "2 + 2?", "answer": 4}]


def sft(**arguments: object) -> SftSettings:
    given = {"model": "m", "data": "d.jsonl", **arguments}
    return resolve_arguments(SftSettings, command="sft", arguments=given).settings


def test_a_call_means_what_the_command_line_means() -> None:
    flags = {"model": "m", "data": ("d.jsonl",), "learning_rate": "1e-4", "dora": True, "rank": "4"}
    assert (
        sft(learning_rate=1e-4, dora=True, rank=4)
        == resolve(SftSettings, section="sft", flags=flags).settings
    )


def test_the_origin_of_a_value_is_the_argument() -> None:
    arguments = {"model": "m", "data": "d.jsonl", "rank": 4}
    origins = resolve_arguments(SftSettings, command="sft", arguments=arguments).origins
    assert (origins["rank"], origins["alpha"]) == ("argument", "default")


def test_numbers_of_numpy_are_numbers() -> None:
    settings = sft(rank=np.int64(4), learning_rate=np.float32(0.5), dora=np.bool_(True))  # noqa: FBT003 -- a value
    assert (settings.rank, settings.learning_rate, settings.dora) == (4, 0.5, True)


def test_a_run_is_a_model_by_its_path(finished: ub.Run) -> None:
    assert model_name(finished) == str(finished.path)
    assert sft(model=finished).model == str(finished.path)


def test_rows_lie_next_to_the_runs(tmp_path: Path) -> None:
    settings = sft(data=ROWS, held_out=ROWS, runs=tmp_path / "r")
    assert settings.data == settings.held_out
    assert settings.data[0].parent == tmp_path / "r" / ".rows"


def test_mixtures_and_weights_are_pairs_dicts_or_text(tmp_path: Path) -> None:
    runs = tmp_path / "r"
    for mix in ("g.jsonl=0.2", ["g.jsonl=0.2"], {"g.jsonl": 0.2}, ("g.jsonl", 0.2)):
        assert sft(mix=mix).mix == ("g.jsonl=0.2",)
    (text,) = sft(mix=[(ROWS, 0.1)], runs=runs).mix
    assert text.startswith(f"{runs}/.rows/")
    assert text.endswith(".jsonl=0.1")
    arguments: dict[str, object] = {
        "model": "m",
        "prompts": "p.jsonl",
        "reward_function": {"json": 0.5},
    }
    arguments["reward_model"] = [("a", 1), Path("b")]
    settings = resolve_arguments(GrpoSettings, command="grpo", arguments=arguments).settings
    assert settings.reward_model == ("a=1.0", "b")
    assert settings.reward_function == ("json=0.5",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rnak": 4}, "rnak: no such argument; did you mean rank?"),
        ({"zzz": 4}, "zzz: no such argument; see help(upbring.sft)"),
        ({"rank": -1}, "rank: -1 is out of range; give a whole number at least 1"),
        ({"rank": 2.5}, "rank: 2.5 is not a whole number at least 1; give a whole number"),
        ({"tune": "none"}, "tune: 'none' is not lora or full; choose one"),
        ({"model": 3}, "model: 3 is no model; give a folder, a run or a hub id"),
        ({"model": ["a", "b"]}, "model: has 2 models; give one"),
        ({"prompts": ["a.jsonl", "b.jsonl"]}, "prompts: has 2 files; give one"),
        ({"mix": [("g.jsonl", "x")]}, "mix: "),
        ({"mix": {"g.jsonl": True}}, "mix: the weight True is not a number; give one"),
        ({"lora_dropout": 0.1}, "lora_dropout: there is no dropout, because"),
    ],
)
def test_an_error_names_the_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        sft(**arguments)
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value)


def test_names_of_other_tools_work() -> None:
    assert sft(lr=1e-3, max_seq_length=64, num_train_epochs=2) == sft(
        learning_rate=1e-3, max_length=64, epochs=2
    )


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"^data: required and not given; give data$"):
        resolve_arguments(DpoSettings, command="dpo", arguments={"model": "m"})

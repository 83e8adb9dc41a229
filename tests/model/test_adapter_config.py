import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.model.adapter_config import read_adapter_config

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


def written(folder: Path, **values: object) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(LORA | values))
    return folder


def test_an_adapter_s_configuration_is_read_as_peft_reads_it(tmp_path: Path) -> None:
    config = read_adapter_config(written(tmp_path, rank_pattern={".*layers.0.*": 8}))
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 8, {"q_proj"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("r", 10**9, "r is 1000000000, and a rank is 1 to 16,384"),
        ("r", 0, "r is 0"),
        ("r", True, "r is True"),
        ("rank_pattern", {"q_proj": 10**9}, "rank_pattern.'q_proj' is 1000000000"),
        ("rank_pattern", 5, "rank_pattern is 5, not an object"),
        ("rank_pattern", {"(a+)+": 4}, "may take too long"),
        ("lora_alpha", float("inf"), "lora_alpha is inf, not a number"),
        ("target_modules", "(.*)*x", "may take too long"),
        ("target_modules", [5], "target_modules contains 5, not the name of a module"),
        ("peft_type", "IA3", "is an adapter of type 'IA3', and only LoRA is supported"),
        ("peft_type", "NOTHING", "only LoRA is supported"),
        ("lora_bias", True, "has lora_bias"),
    ],
)
def test_a_value_that_peft_does_not_expect_is_named(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_adapter_config(written(tmp_path, **{name: value}))

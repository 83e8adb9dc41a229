import pytest

from upbring.cli.spelled_values import spell_values
from upbring.errors import InputError
from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.schema import Settings, setting_specs


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (SftSettings, "--dora d.jsonl", "--dora d.jsonl"),
        (SftSettings, "--bf16 no d.jsonl", "--no-bf16 d.jsonl"),
        (SftSettings, "--bf16=off", "--no-bf16"),
        (SftSettings, "--dora yes", "--dora"),
        (SftSettings, "--lora_target a_proj b_proj --r 8", "--lora_target=a_proj,b_proj --r 8"),
        (SftSettings, "--target-modules a,b d.jsonl", "--target-modules=a,b d.jsonl"),
        (SftSettings, "--init_lora_weights true", "--init_lora_weights"),
        (GrpoSettings, "--scale_rewards none", "--no-scale-rewards"),
        (GrpoSettings, "--scale_rewards group", "--scale_rewards"),
    ],
)  # fmt: skip
def test_values_of_other_tools_move_into_their_flags(
    kind: type[Settings], words: str, expected: str
) -> None:
    assert " ".join(spell_values(words.split(), setting_specs(kind))) == expected


def test_a_value_that_is_not_available_is_answered_with_its_flag() -> None:
    with pytest.raises(InputError, match=r"--init_lora_weights pissa: A is random and B is zero"):
        list(spell_values(["--init_lora_weights", "pissa"], setting_specs(SftSettings)))

import pytest

from upbring.api.messages import function_of, to_python


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("give --max-length, or --no-dora", "give max_length, or dora=False"),
        ("resume with `upbring resume runs/a`", 'resume with `upbring.resume("runs/a")`'),
        ("train one with `upbring reward`", "train one with `upbring.reward_model`"),
        ("try `upbring chat runs/sft-1`", "try `upbring chat runs/sft-1`"),
        ("`upbring sft --help`", "`upbring sft help`"),
        ("a -- b, well-known, x--y", "a -- b, well-known, x--y"),
    ],
)
def test_flags_are_arguments_and_commands_are_calls(message: str, expected: str) -> None:
    assert to_python(message) == expected


def test_a_function_has_the_name_of_its_command_but_for_reward_models() -> None:
    assert [function_of(name) for name in ("sft", "reward")] == ["sft", "reward_model"]

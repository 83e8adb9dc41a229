from pathlib import Path

import pytest

from upbring.cli.preflight.planned_command import find_planned_method, planned_command
from upbring.errors import InputError


def test_a_training_command_is_parsed_with_its_own_flags() -> None:
    planned = planned_command(["sft", "chat.jsonl", "--model", "m", "--lr", "1e-5"])
    assert planned is not None
    assert planned.method.name == "sft"
    assert planned.resolved.settings.learning_rate == 1e-5
    assert planned.resolved.settings.data == (Path("chat.jsonl"),)


@pytest.mark.parametrize("words", [["recipe.yaml"], ["sft", "--help"], ["rm", "-h"]])
def test_a_recipe_and_a_help_page_are_no_command(words: list[str]) -> None:
    assert planned_command(words) is None


@pytest.mark.parametrize(("word", "name"), [("dpo", "dpo"), ("rm", "reward"), ("train", "sft")])
def test_a_method_may_have_the_name_of_another_tool(word: str, name: str) -> None:
    assert find_planned_method(word).name == name


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "alpaca.jsonl",
            (
                "upbring plan: alpaca.jsonl is not a command; name one first: "
                "`upbring plan sft alpaca.jsonl --model ./base`"
            ),
        ),
        (
            "evaluate",
            (
                "upbring plan: evaluate is not a training command or a recipe; name one first: "
                "`upbring plan sft chat.jsonl --model ./base`"
            ),
        ),
        (
            "grpoo",
            (
                "upbring plan: grpoo is not a training command or a recipe; name one first: "
                "`upbring plan grpo …`"
            ),
        ),
    ],
)
def test_anything_else_is_answered_with_a_command_to_type(word: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find_planned_method(word)
    assert str(caught.value) == message

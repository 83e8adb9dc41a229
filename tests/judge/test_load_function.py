"""Functions and rules by name, and messages about those that cannot be used."""

import sys
from pathlib import Path
from typing import Any

import pytest

from upbring.data.read.prompt_rows import make_prompt_row
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.judge.load_function import load_function, make_function

CODE = """
from near import ONE
calls = []

def correct(prompt, response, row):
    calls.append(prompt)
    return ONE * (row["answer"] in response)

def count(response):
    return len(calls)

def batch(prompts, completions, **columns):
    return [0.0] * len(completions)

def nothing():
    return 0.0

def by_position(response, /):
    return 0.0

number = 3
"""
ROW = make_prompt_row("p:1", {"answer": "4"}, (Message("user", "?"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "near.py").write_text("ONE = 1.0\n")
    (tmp_path / "rewards.py").write_text(CODE)
    return tmp_path


def test_functions_of_one_file_share_its_module(folder: Path) -> None:
    path_before = list(sys.path)
    correct = load_function(f"{folder}/rewards.py:correct", "reward_function")
    count = load_function(f"{folder}/rewards.py:count", "reward_function")
    assert sys.path == path_before
    assert correct.name == "rewards.py:correct"
    assert correct(ROW, "so 4", log=print) == 1.0
    assert correct(ROW, "so 5", log=print) == 0.0
    assert count(ROW, "", log=print) == 2.0
    (folder / "rewards.py").write_text(CODE.replace("[]", "[1, 1, 1]"))
    changed = load_function(f"{folder}/rewards.py:count", "reward_function")
    assert changed(ROW, "", log=print) == 3.0
    assert changed.sha256 != count.sha256


def test_a_rule_is_loaded_by_its_name() -> None:
    assert load_function("is_json", "reward_function").name == "json"
    assert load_function("same_number", "reward_function")(ROW, "= 4.0", log=print) == 1.0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("jsn", "reward_function: 'jsn' is unknown; did you mean json?"),
        ("grade", "'grade' is unknown; use a rule (exact, normalized, "),
        ("{}/none.py:f", "none.py cannot be read (No such file or directory); name another file"),
        ("{}/rewards.py", "rewards.py names no function; write {}/rewards.py:correct"),
        ("{}/rewards.py:corect", "rewards.py has no function corect; did you mean correct?"),
        ("{}/rewards.py:number", "rewards.py has no function number; it has correct, count, "),
        (
            "{}/rewards.py:batch",
            (
                "rewards.py:batch has the parameter prompts; use prompt, response, row and "
                "messages, as in def batch(prompt, response, row) (it is called once per response)"
            ),
        ),
        ("{}/rewards.py:nothing", "rewards.py:nothing has no parameter response; add it"),
        ("{}/rewards.py:by_position", "takes response by position; remove the /"),
        ("{}/broken.py:f", "broken.py:2 cannot be loaded (SyntaxError: "),
        ("{}/failing.py:f", "failing.py cannot be loaded (ZeroDivisionError: division by zero)"),
    ],
)
def test_a_name_that_cannot_be_used_is_explained(folder: Path, name: str, told: str) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    (folder / "failing.py").write_text("1 / 0\n")
    with pytest.raises(InputError) as caught:
        load_function(name.format(folder), "reward_function")
    assert told.format(folder) in str(caught.value)


def test_a_callable_object_has_the_name_of_its_class() -> None:
    class Longer:
        def __call__(self, response: str) -> float:
            return float(len(response))

    assert make_function(Longer(), "rewards").name == "Longer"
    not_for_this: Any = print
    with pytest.raises(InputError, match=r"rewards: print has no parameter response; add it"):
        make_function(not_for_this, "rewards")

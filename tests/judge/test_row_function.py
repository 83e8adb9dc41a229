"""Functions of the user: what they get, and each way in which they fail."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from upbring.data.read.prompt_rows import make_prompt_row
from upbring.data.read.records import Message
from upbring.errors import FunctionError
from upbring.judge.load_function import make_function
from upbring.runs import user_call

ROW = make_prompt_row(
    "p.jsonl:7", {"answer": "4", "tags": ["a"]}, (Message("system", "S"), Message("user", "2 + 2?"))
)
Given = Callable[..., Any]


def call(function: Given, log: Callable[[str], None] = print) -> float:
    return make_function(function, "rewards")(ROW, "It is 4.", log=log)


def test_a_function_gets_what_it_names() -> None:
    seen: dict[str, Any] = {}

    def all_of(
        messages: object, row: object, response: str, prompt: str, weight: float = 2.0
    ) -> float:
        seen.update(messages=messages, row=row, response=response, prompt=prompt)
        return weight

    assert call(all_of) == 2.0
    assert seen["prompt"] == "2 + 2?"
    assert seen["response"] == "It is 4."
    assert seen["row"] == {"answer": "4", "tags": ["a"]}
    assert seen["messages"][0] == {"role": "system", "content": "S"}

    def open_ended(**given: object) -> float:
        return float(set(given) == {"prompt", "response", "row", "messages"})

    assert call(open_ended) == 1.0


@pytest.mark.parametrize("value", [True, 1, 1.0, np.float32(1), np.int64(1), torch.tensor(1.0)])
def test_any_number_is_a_reward(value: object) -> None:
    assert call(lambda response: value if response else 0) == 1.0


async def slow(response: str) -> float:
    return float(len(response))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda response: response * 0, "<lambda>: returned '' for p.jsonl:7; return one finite"),
        (lambda response: [1.0, len(response)], r"returned \[1.0, 8\] for p.jsonl:7"),
        (lambda response: np.ones(1) * len(response), r"returned array\(\[8.\]\) for p.jsonl:7"),
        (lambda response: None if response else 1, "returned None for p.jsonl:7"),
        (lambda response: float("nan") if response else 1, "returned nan for p.jsonl:7"),
        (lambda response: float("inf") if response else 1, "returned inf for p.jsonl:7"),
        (slow, "slow: returned a coroutine for p.jsonl:7"),
        (
            lambda response, row: row["anser"] if response else 1,
            (
                r"<lambda>: raised KeyError: 'anser' at test_row_function.py:\d+, for p.jsonl:7, "
                "whose columns are answer, tags; correct it"
            ),
        ),
        (lambda response: 1 / (len(response) - 8), "raised ZeroDivisionError: division by zero at"),
        (lambda response, row: row["tags"].append(1) or len(response), "changed its argument row"),
        (lambda response, row: row.pop("answer") and len(response), "changed its argument row "),
        (
            lambda response, messages: messages.clear() or len(response),
            r"changed its argument messages \(p.jsonl:7\); work on a copy",
        ),
        (
            lambda response, row: row.update(answer=object()) or len(response),
            r"changed its argument row \(p.jsonl:7\)",
        ),
    ],
)
def test_an_error_names_the_function_and_the_row(function: Given, told: str) -> None:
    with pytest.raises(FunctionError, match=told):
        call(function)


def test_exit_in_a_function_is_an_error_too() -> None:
    def leave(response: str) -> float:
        raise SystemExit(len(response))

    with pytest.raises(FunctionError, match=r"leave: raised SystemExit: 8"):
        call(leave)


def test_a_slow_function_is_reported_once_and_its_result_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_call, "SLOW_SECONDS", 0.05)
    told: list[str] = []

    def wait(response: str) -> float:
        time.sleep(0.4)
        return float(len(response))

    assert call(wait, told.append) == 8.0
    expected = "wait: has been running for 0.05 seconds for p.jsonl:7; still waiting"
    assert [line.partition(" (")[0] for line in told] == [expected]

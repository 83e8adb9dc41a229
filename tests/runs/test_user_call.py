"""Calls of a user's code: its result, its error with the line, its duration."""

import threading

import pytest

from upbring.errors import FunctionError, InputError
from upbring.runs.user_call import call_user_code


def test_a_result_comes_back_and_no_thread_is_left() -> None:
    before = threading.active_count()
    found = call_user_code(lambda a: a + 1, {"a": 2}, name="f", where="here", log=print)
    assert found == 3
    assert threading.active_count() == before


def test_an_error_is_told_with_name_place_and_line() -> None:
    def fail() -> None:
        raise ValueError("odd")

    with pytest.raises(
        FunctionError,
        match=r"^f: raised ValueError: odd at test_user_call.py:\d+, at step 3!; correct it$",
    ):
        call_user_code(fail, {}, name="f", where="at step 3", log=print, explain=lambda _: "!")


def test_our_own_errors_pass_unchanged() -> None:
    def refuse() -> None:
        raise InputError("p:1: is wrong")

    with pytest.raises(InputError, match=r"^p:1: is wrong$"):
        call_user_code(refuse, {}, name="f", where="here", log=print)

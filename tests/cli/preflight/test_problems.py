import pytest

from upbring.cli.preflight.problems import Problems
from upbring.errors import InputError


def fail(text: str) -> None:
    raise InputError(text)


def test_all_problems_are_raised_in_one_error_each_once() -> None:
    problems = Problems()
    problems.check(len, "fine")
    problems.raise_all()
    for text in ("a: wrong; fix it", "b: wrong; fix it", "a: wrong; fix it"):
        problems.check(fail, text)
    with pytest.raises(InputError) as caught:
        problems.raise_all()
    assert str(caught.value) == "a: wrong; fix it\nb: wrong; fix it"

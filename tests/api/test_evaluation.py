from pathlib import Path

import pytest

from upbring.api.evaluation import make_evaluation
from upbring.errors import InputError
from upbring.runs.results import EvalResult

RESULTS = [
    EvalResult("facts", "base", "accuracy", 0.25, 0.2, 0.3, count=50),
    EvalResult("facts", "sft", "accuracy", 0.75, 0.7, 0.8, count=50),
    EvalResult("instructions", "sft", "prompt_strict", 0.5, 0.4, 0.6, count=9),
    EvalResult("refusals", "sft", "prompt_strict", 0.1, 0.0, 0.2, count=9),
]
EVALUATION = make_evaluation(RESULTS, ["base", "sft"], Path("out"))


def test_it_prints_as_a_table() -> None:
    lines = str(EVALUATION).splitlines()
    assert lines[0].split() == ["suite", "number", "base", "sft"]
    assert lines[1].split()[:4] == ["facts", "accuracy", "25.0", "%"]
    assert repr(EVALUATION) == str(EVALUATION)


def test_its_dicts_have_intervals() -> None:
    first = EVALUATION.to_dict()["results"][0]
    assert (first["value"], first["low"], first["high"]) == (0.25, 0.2, 0.3)
    assert len(EVALUATION.to_dict()["results"]) == 4
    assert EVALUATION.path.is_absolute()


def test_a_number_is_found_by_its_name() -> None:
    assert EVALUATION.get("accuracy").value == 0.75
    assert EVALUATION.get("accuracy", model="base").value == 0.25
    assert EVALUATION.get("prompt_strict", suite="refusals").value == 0.1
    with pytest.raises(InputError, match="did you mean accuracy"):
        EVALUATION.get("acuracy")
    with pytest.raises(InputError, match=r"no number prompt_strict of base; there are accuracy"):
        EVALUATION.get("prompt_strict", model="base")
    with pytest.raises(InputError, match=r"in several suites \(instructions, refusals\)"):
        EVALUATION.get("prompt_strict")

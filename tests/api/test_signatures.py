import inspect

from upbring.api.signatures import (
    PublicFunction,
    docstring,
    runtime_signature,
    setting_parameters,
    stub_lines,
)
from upbring.settings.commands.score import ScoreSettings

SCORE = PublicFunction(
    name="score",
    command="score",
    summary="Score responses.",
    description="With --to they are written.",
    positional=("model", "data"),
    parameters=setting_parameters(ScoreSettings),
    returns="list[float]",
    implementation="",
)


def test_a_parameter_has_the_type_and_the_default_of_its_setting() -> None:
    parameters = runtime_signature(SCORE).parameters
    assert list(parameters)[:2] == ["model", "data"]
    assert parameters["model"].default is inspect.Parameter.empty
    assert {name: parameters[name].annotation for name in ("model", "data", "ensemble", "to")} == {
        "model": "ModelLike",
        "data": "Data",
        "ensemble": "ModelLike | Sequence[ModelLike]",
        "to": "str | PathLike[str] | None",
    }
    assert parameters["combine"].annotation == "Literal['mean', 'worst', 'cautious']"
    assert (parameters["combine"].default, parameters["ensemble"].default) == ("mean", ())
    assert parameters["spread"].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_docstring_has_a_line_per_parameter() -> None:
    lines = docstring(SCORE).splitlines()
    assert lines[:5] == [
        "Score responses.",
        "",
        "With --to they are written.",
        "",
        "Args:",
    ]
    spread = "    spread: Number of standard deviations that combine=cautious subtracts. (at least"
    assert spread in docstring(SCORE)


def test_a_stub_is_the_signature_with_the_docstring() -> None:
    lines = list(stub_lines(SCORE))
    assert lines[:4] == ["def score(", "    model: ModelLike,", "    data: Data,", "    *,"]
    assert "    spread: float = 1.0," in lines
    assert ") -> list[float]:" in lines

import inspect

import pytest

import upbring as ub
from upbring.api import functions
from upbring.api.functions import bind_arguments, public_functions
from upbring.settings.schema import setting_specs
from upbring.stages.registry import load_settings, methods


@pytest.mark.parametrize("name", list(public_functions()))
def test_help_shows_every_setting_with_its_default(name: str) -> None:
    function = getattr(functions, name)
    assert function.__name__ == name
    assert function.__module__ == "upbring"
    parameters = inspect.signature(function).parameters
    for each in public_functions()[name].parameters:
        assert each.name in parameters
        assert f"    {each.name}: " in function.__doc__
    assert function is getattr(functions, name)


def test_every_built_in_method_is_a_function() -> None:
    for method in methods().values():
        if not method.settings.startswith("upbring."):
            continue  # of another package; upbring.train runs it
        name = "reward_model" if method.name == "reward" else method.name
        parameters = inspect.signature(getattr(ub, name)).parameters
        extra = {"reward"} if method.learns_from == "prompts" else set()
        assert set(parameters) == set(setting_specs(load_settings(method))) | extra | {"callbacks"}


def test_arguments_are_bound_as_python_does() -> None:
    sft = public_functions()["sft"]
    assert bind_arguments(sft, ("m",), {"data": "d", "lr": 1}) == {
        "model": "m",
        "data": "d",
        "lr": 1,
    }
    with pytest.raises(TypeError, match=r"sft\(\) takes at most 2 arguments without a name"):
        bind_arguments(sft, ("m", "d", 3), {})
    with pytest.raises(TypeError, match=r"sft\(\) got two values for the argument model"):
        bind_arguments(sft, ("m",), {"model": "n"})


def test_what_is_no_function_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        functions.nothing  # type: ignore[attr-defined]  # noqa: B018 -- on purpose

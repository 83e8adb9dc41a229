import inspect
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

import upbring as ub
from upbring.settings.commands.export import ExportSettings
from upbring.settings.commands.resume import ResumeSettings
from upbring.settings.commands.run import RunSettings
from upbring.settings.model import ModelSettings
from upbring.settings.schema import Settings, setting_specs


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (ub.load, ModelSettings),
        (ub.export, ExportSettings),
        (ub.resume, ResumeSettings),
        (ub.run, RunSettings),
    ],
)
def test_a_function_has_the_settings_of_its_command(
    function: object, settings: type[Settings]
) -> None:
    assert callable(function)
    parameters = inspect.signature(function).parameters
    specs = setting_specs(settings)
    assert set(parameters) >= set(specs)
    for name, spec in specs.items():
        default = parameters[name].default
        expected = inspect.Parameter.empty if spec.is_required else spec.default
        assert default == (str(expected) if isinstance(expected, Path) else expected), name
        assert name in str(function.__doc__), name


def test_an_export_loads_in_transformers(finished: ub.Run, tmp_path: Path) -> None:
    assert ub.export(finished, tmp_path / "merged") == tmp_path / "merged"
    AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with pytest.raises(ub.InputError, match="already exists; choose another to"):
        ub.export(finished, tmp_path / "merged")


@pytest.mark.usefixtures("home")
def test_a_model_is_loaded_by_its_name() -> None:
    with pytest.raises(ub.InputError, match="nowhere: no such directory"):
        ub.load("nowhere")
    assert repr(ub.load(Path("m"), threads=1)) == "Model('m')"

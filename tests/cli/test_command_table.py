from dataclasses import replace

import pytest

from upbring.cli import command_table
from upbring.cli.command_table import GROUPS, OTHER_COMMANDS, commands
from upbring.errors import InputError
from upbring.settings.schema import Settings, setting_specs
from upbring.stages.registry import import_object, methods


def test_every_method_is_a_command_and_groups_are_in_order() -> None:
    assert set(commands()) == {*methods(), *(each.name for each in OTHER_COMMANDS)}
    groups = [GROUPS.index(each.group) for each in commands().values()]
    assert groups == sorted(groups)
    assert set(groups) == set(range(len(GROUPS)))
    assert [name for name, each in commands().items() if each.group == "Training"] == [
        "pretrain",
        "sft",
    ]


@pytest.mark.parametrize("name", list(commands()))
def test_a_command_names_settings_a_function_and_an_example_that_exist(name: str) -> None:
    command = commands()[name]
    settings_class = command.load_settings()
    assert issubclass(settings_class, Settings)
    assert command.positional is None or command.positional in setting_specs(settings_class)
    assert command.example.startswith(f"upbring {name}")
    assert callable(import_object(command.run))


@pytest.mark.parametrize("name", list(commands()))
def test_no_setting_has_the_name_of_a_common_flag(name: str) -> None:
    specs = setting_specs(commands()[name].load_settings())
    assert not {"settings", "debug", "help", "positional", "settings_file"} & set(specs)
    switches = {each.name for each in specs.values() if each.value_type == "switch"}
    assert not {f"no_{switch}" for switch in switches} & set(specs)


def test_a_method_with_the_name_of_another_command_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"check": replace(methods()["dpo"], name="check")}
    monkeypatch.setattr(command_table, "methods", lambda: found)
    with pytest.raises(InputError, match="method 'check': has the name of a command; uninstall"):
        commands.__wrapped__()

from upbring.settings.command_table import COMMANDS, commands, import_object
from upbring.settings.schema import Settings, setting_specs


def test_verbs_stand_once_under_their_names() -> None:
    assert list(commands()) == [command.name for command in COMMANDS]
    assert len(commands()) == len(COMMANDS)


def test_each_verb_names_settings_and_what_its_words_fill() -> None:
    for command in COMMANDS:
        kind = import_object(command.settings)
        assert issubclass(kind, Settings)
        assert command.positional is None or command.positional in setting_specs(kind)
        assert command.example.startswith(f"upbring {command.name}")
        assert command.run.startswith("upbring.cli.")


def test_no_setting_takes_the_name_of_a_flag_that_every_verb_has() -> None:
    for command in COMMANDS:
        names = setting_specs(import_object(command.settings))
        assert not {"settings", "debug", "help", "positional", "settings_file"} & set(names)
        switches = {name for name, setting in names.items() if setting.value_type == "switch"}
        assert not {f"no_{name}" for name in switches} & set(names)

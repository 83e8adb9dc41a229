from upbring.settings.command_table import VERBS, imported, verbs
from upbring.settings.schema import Settings, declared


def test_verbs_stand_once_under_their_names() -> None:
    assert list(verbs()) == [verb.name for verb in VERBS]
    assert len(verbs()) == len(VERBS)


def test_each_verb_names_settings_and_what_its_words_fill() -> None:
    for verb in VERBS:
        kind = imported(verb.settings)
        assert issubclass(kind, Settings)
        assert verb.positional is None or verb.positional in declared(kind)
        assert verb.example.startswith(f"upbring {verb.name}")
        assert verb.run.startswith("upbring.cli.")


def test_no_setting_takes_the_name_of_a_flag_that_every_verb_has() -> None:
    for verb in VERBS:
        names = declared(imported(verb.settings))
        assert not {"settings", "debug", "help", "positional", "settings_file"} & set(names)
        switches = {name for name, setting in names.items() if setting.shape == "switch"}
        assert not {f"no_{name}" for name in switches} & set(names)

from upbring.cli.command import Command
from upbring.settings.commands.runs import RunsSettings


def test_settings_are_imported_when_they_are_needed() -> None:
    names = {"name": "x", "group": "Tools", "help": "", "run": "", "example": ""}
    command = Command(settings="upbring.settings.commands.runs:RunsSettings", **names)
    assert command.load_settings() is RunsSettings

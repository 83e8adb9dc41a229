"""The declaration of a command."""

from dataclasses import dataclass
from typing import Any

from upbring.stages.registry import import_object


@dataclass(frozen=True)
class Command:
    """One command of the command line and one section of a settings file."""

    name: str
    group: str
    help: str
    settings: str  # "module:Class"
    run: str  # "module:function", called with the resolved settings
    example: str
    description: str = ""
    positional: str | None = None  # the setting that the positional arguments fill
    metavar: str = ""  # of the positional arguments; default: the setting's name
    has_subcommand: bool = False  # the first argument is a command with its own arguments
    is_method: bool = False  # a training method: `run` takes the method's name first

    def load_settings(self) -> Any:  # noqa: ANN401 -- a class of settings, each command's own
        """Return the class of the command's settings."""
        return import_object(self.settings)

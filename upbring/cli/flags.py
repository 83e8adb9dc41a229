"""A command's flags and help, made from the settings it declares, and what a command line gave.

Values stay text here: the settings read them, so that a flag and a file mean the same.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from upbring.errors import InputError, nearest
from upbring.settings.command_table import Command, import_object
from upbring.settings.schema import SettingSpec, setting_specs

METAVARS = {
    "text": "TEXT",
    "integer": "WHOLE",
    "number": "NUMBER",
    "path": "PATH",
    "choice": "CHOICE",
}
COMMON_FLAGS = ("--settings", "--debug", "--help")


@dataclass(frozen=True)
class ParsedFlags:
    """What a command line asks for: flags by setting, and a settings file."""

    flags: dict[str, object]
    settings_file: Path | None


def parse_flags(command: Command, args: list[str]) -> ParsedFlags | None:
    """Return what `words` give to `click_command`, or None when help was asked for and shown."""
    click_command = typer.main.get_command(_make_app(command))
    try:
        result = click_command.main(
            args, prog_name=f"upbring {command.name}", standalone_mode=False
        )
    except typer.BadParameter.__base__ as error:  # type: ignore[misc]  # typer's own UsageError
        raise InputError(_describe_usage_error(command, error)) from None
    return result if isinstance(result, ParsedFlags) else None


def command_flags(command: Command) -> dict[str, SettingSpec | None]:
    """Return each flag that `click_command` takes and the setting behind it, if any."""
    flags: dict[str, SettingSpec | None] = dict.fromkeys(COMMON_FLAGS)
    for setting in setting_specs(import_object(command.settings)).values():
        flags[setting.flag] = setting
        if setting.value_type == "switch":
            flags[_negated_flag(setting)] = setting
    return flags


def _make_app(command: Command) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    context_settings = {
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
        "allow_interspersed_args": not command.has_subcommand,
    }
    epilog = f"Example: [bold]{escape(command.example)}[/bold]"
    help_text = escape("\n\n".join(filter(None, (command.help, command.description))))
    app.command(command.name, help=help_text, epilog=epilog, context_settings=context_settings)(
        _make_callback(command)
    )
    return app


def _make_callback(command: Command) -> Callable[..., ParsedFlags]:
    """Return a function whose signature is the command's settings: what typer reads."""

    def call(**given: object) -> ParsedFlags:
        return _collect_flags(command, given)

    parameters = list(
        chain(_positional_parameter(command), _option_parameters(command), _common_parameters())
    )
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _collect_flags(command: Command, raw_values: dict[str, object]) -> ParsedFlags:
    file = raw_values.pop("settings_file")
    raw_values.pop("debug")
    positional = raw_values.pop("positional", None)
    flags = {name: value for name, value in raw_values.items() if value not in (None, [])}
    for setting in setting_specs(import_object(command.settings)).values():
        if setting.value_type == "switch" and flags.pop(f"no_{setting.name}", False):
            if setting.name in flags:
                problem = f"both {setting.flag} and {_negated_flag(setting)} given"
                raise InputError(f"upbring {command.name}: {problem}; give one")
            flags[setting.name] = False
    if command.positional and positional:
        flag_value = flags.get(command.positional)
        if isinstance(positional, list):
            flags[command.positional] = [
                *positional,
                *(flag_value if isinstance(flag_value, list) else []),
            ]
        elif flag_value is not None:
            flag = f"--{command.positional}"
            raise InputError(
                f"upbring {command.name}: both {positional} and {flag} given; give one"
            )
        else:
            flags[command.positional] = positional
    return ParsedFlags(flags, file if isinstance(file, Path) else None)


def _make_parameter(name: str, value_type: object, declaration: object) -> inspect.Parameter:
    annotation = Annotated[value_type, declaration]  # type: ignore[valid-type]  # made at run time
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _positional_parameter(command: Command) -> Iterator[inspect.Parameter]:
    if command.positional is None:
        return
    setting = setting_specs(import_object(command.settings))[command.positional]
    metavar = "FILE" if setting.is_list else setting.name.upper()
    declaration = typer.Argument(
        metavar=metavar,
        help=f"The same as {setting.flag}.",
        show_default=False,
    )
    yield _make_parameter(
        "positional", list[str] | None if setting.is_list else str | None, declaration
    )


def _option_parameters(command: Command) -> Iterator[inspect.Parameter]:
    for setting in setting_specs(import_object(command.settings)).values():
        is_switch = setting.value_type == "switch"
        declaration = typer.Option(
            setting.flag,
            help=_help_text(setting),
            metavar=None if is_switch else METAVARS[setting.value_type],
            show_default=False,
            rich_help_panel=setting.panel,
        )
        value_type = (
            bool | None if is_switch else list[str] | None if setting.is_list else str | None
        )
        yield _make_parameter(setting.name, value_type, declaration)
        if is_switch:  # a flag of its own: typer's form widens the help for all others
            negated = typer.Option(_negated_flag(setting), hidden=True)
            yield _make_parameter(f"no_{setting.name}", bool | None, negated)


def _common_parameters() -> Iterator[inspect.Parameter]:
    file = typer.Option(
        "--settings", metavar="FILE", show_default=False, help="YAML file to take settings from."
    )
    debug = typer.Option("--debug", show_default=False, help="Show the traceback of an error.")
    yield _make_parameter("settings_file", Path | None, file)
    yield _make_parameter("debug", bool, debug).replace(default=False)


def _negated_flag(setting: SettingSpec) -> str:
    return "--no-" + setting.flag.removeprefix("--")


def _help_text(setting: SettingSpec) -> str:
    """Return help, values and default; typer's own display knows too little of them."""
    default = "required" if setting.is_required else f"default: {setting.default_text}"
    values = setting.expected if setting.choices else setting.range_text
    negation = _negated_flag(setting) if setting.value_type == "switch" else ""
    repetition = "repeatable" if setting.is_list else ""
    details = "; ".join(filter(None, (values, negation, repetition, default)))
    return f"{escape(setting.help)} [dim]({escape(details)})[/dim]"


def _describe_usage_error(command: Command, error: Exception) -> str:
    """Return in our words what typer could not read."""
    program = f"upbring {command.name}"
    help_hint = f"see `{program} --help`"
    name = str(getattr(error, "option_name", "")).replace("_", "-")
    if hasattr(error, "possibilities"):
        suggestion = nearest(name, command_flags(command))
        return f"{program}: no such flag {name}; {f'did you mean {suggestion}?' if suggestion else help_hint}"
    text = str(getattr(error, "message", error)).rstrip(".").removeprefix(f"Option '{name}' ")
    if name:
        return f"{program}: {name}: {text}; {help_hint}"
    return f"{program}: {text[:1].lower()}{text[1:]}; {help_hint}"

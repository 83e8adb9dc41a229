"""A verb's flags and help, made from the settings it declares, and what a command line gave.

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
from upbring.settings.command_table import Verb, imported
from upbring.settings.schema import Declared, declared

METAVARS = {
    "text": "TEXT",
    "integer": "WHOLE",
    "number": "NUMBER",
    "path": "PATH",
    "choice": "CHOICE",
}
ALWAYS = ("--settings", "--debug", "--help")


@dataclass(frozen=True)
class Call:
    """What a command line asks for: flags by setting, and a settings file."""

    flags: dict[str, object]
    file: Path | None


def parse(verb: Verb, words: list[str]) -> Call | None:
    """Return what `words` give to `verb`, or None when help was asked for and shown."""
    command = typer.main.get_command(_app(verb))
    try:
        found = command.main(words, prog_name=f"upbring {verb.name}", standalone_mode=False)
    except typer.BadParameter.__base__ as error:  # type: ignore[misc]  # typer's own UsageError
        raise InputError(_wrong(verb, error)) from None
    return found if isinstance(found, Call) else None


def flags_of(verb: Verb) -> dict[str, Declared | None]:
    """Return each flag that `verb` takes and the setting behind it, if any."""
    flags: dict[str, Declared | None] = dict.fromkeys(ALWAYS)
    for setting in declared(imported(verb.settings)).values():
        flags[setting.flag] = setting
        if setting.shape == "switch":
            flags[_negated(setting)] = setting
    return flags


def _app(verb: Verb) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    context = {
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
        "allow_interspersed_args": not verb.is_before,
    }
    epilog = f"Example: [bold]{escape(verb.example)}[/bold]"
    text = escape("\n\n".join(filter(None, (verb.help, verb.about))))
    app.command(verb.name, help=text, epilog=epilog, context_settings=context)(_command(verb))
    return app


def _command(verb: Verb) -> Callable[..., Call]:
    """Return a function whose signature is the verb's settings: what typer reads."""

    def call(**given: object) -> Call:
        return _gathered(verb, given)

    parameters = list(chain(_positional(verb), _options(verb), _common()))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _gathered(verb: Verb, given: dict[str, object]) -> Call:
    file = given.pop("settings_file")
    given.pop("debug")
    words = given.pop("positional", None)
    flags = {name: value for name, value in given.items() if value not in (None, [])}
    for setting in declared(imported(verb.settings)).values():
        if setting.shape == "switch" and flags.pop(f"no_{setting.name}", False):
            if setting.name in flags:
                found = f"both {setting.flag} and {_negated(setting)} given"
                raise InputError(f"upbring {verb.name}: {found}; give one")
            flags[setting.name] = False
    if verb.positional and words:
        before = flags.get(verb.positional)
        if isinstance(words, list):
            flags[verb.positional] = [*words, *(before if isinstance(before, list) else [])]
        elif before is not None:
            flag = f"--{verb.positional}"
            raise InputError(f"upbring {verb.name}: both {words} and {flag} given; give one")
        else:
            flags[verb.positional] = words
    return Call(flags, file if isinstance(file, Path) else None)


def _parameter(name: str, kind: object, declaration: object) -> inspect.Parameter:
    annotation = Annotated[kind, declaration]  # type: ignore[valid-type]  # made at run time
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _positional(verb: Verb) -> Iterator[inspect.Parameter]:
    if verb.positional is None:
        return
    setting = declared(imported(verb.settings))[verb.positional]
    word = "FILE" if setting.is_many else setting.name.upper()
    declaration = typer.Argument(
        metavar=word,
        help=f"The same as {setting.flag}.",
        show_default=False,
    )
    yield _parameter("positional", list[str] | None if setting.is_many else str | None, declaration)


def _options(verb: Verb) -> Iterator[inspect.Parameter]:
    for setting in declared(imported(verb.settings)).values():
        is_switch = setting.shape == "switch"
        declaration = typer.Option(
            setting.flag,
            help=_help(setting),
            metavar=None if is_switch else METAVARS[setting.shape],
            show_default=False,
            rich_help_panel=setting.panel,
        )
        kind = bool | None if is_switch else list[str] | None if setting.is_many else str | None
        yield _parameter(setting.name, kind, declaration)
        if is_switch:  # a flag of its own: typer's form widens the help for all others
            negated = typer.Option(_negated(setting), hidden=True)
            yield _parameter(f"no_{setting.name}", bool | None, negated)


def _common() -> Iterator[inspect.Parameter]:
    file = typer.Option(
        "--settings", metavar="FILE", show_default=False, help="YAML file to take settings from."
    )
    debug = typer.Option("--debug", show_default=False, help="Show the traceback of an error.")
    yield _parameter("settings_file", Path | None, file)
    yield _parameter("debug", bool, debug).replace(default=False)


def _negated(setting: Declared) -> str:
    return "--no-" + setting.flag.removeprefix("--")


def _help(setting: Declared) -> str:
    """Return help, values and default; typer's own display knows too little of them."""
    default = "required" if setting.is_required else f"default: {setting.default_told}"
    values = setting.wanted if setting.choices else setting.range
    more = _negated(setting) if setting.shape == "switch" else ""
    several = "repeatable" if setting.is_many else ""
    facts = "; ".join(filter(None, (values, more, several, default)))
    return f"{escape(setting.help)} [dim]({escape(facts)})[/dim]"


def _wrong(verb: Verb, error: Exception) -> str:
    """Return in our words what typer could not read."""
    where = f"upbring {verb.name}"
    see = f"see `{where} --help`"
    name = str(getattr(error, "option_name", "")).replace("_", "-")
    if hasattr(error, "possibilities"):
        meant = nearest(name, flags_of(verb))
        return f"{where}: no such flag {name}; {f'did you mean {meant}?' if meant else see}"
    text = str(getattr(error, "message", error)).rstrip(".").removeprefix(f"Option '{name}' ")
    if name:
        return f"{where}: {name}: {text}; {see}"
    return f"{where}: {text[:1].lower()}{text[1:]}; {see}"

"""A click command built from settings: its flags, its help, and the values of a command line.

Values stay text here; `settings.resolve` parses them, so that flags and files mean the same.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete

from upbring.cli.command import Command
from upbring.cli.spelled_values import is_switch_alias, spell_values
from upbring.errors import InputError, nearest
from upbring.settings.aliases import (
    aliases_of,
    find_alias,
    nearest_setting,
    render_names,
)
from upbring.settings.input_references import STAGE_SETTINGS
from upbring.settings.resolve import CallStyle
from upbring.settings.schema import SettingSpec, flag_of, setting_specs

METAVARS = {"text": "TEXT", "integer": "INTEGER", "number": "NUMBER", "path": "PATH"}
MAX_HELP_WIDTH = 120
FLAG = re.compile(r"--?[A-Za-z]")
# Short flags of other tools, and the names that they may stand for.
SHORT_FLAGS = {
    "o": ("output_dir",),
    "m": ("model", "models"),
    "d": ("data", "prompts"),
    "n": ("name",),
    "b": ("batch_size",),
    "bs": ("batch_size",),
    "e": ("epochs",),
    "s": ("seed",),
    "t": ("temperature",),
}
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

CONTEXT_SETTINGS = {
    "help_option_names": ["--help", "-h"],
    "max_content_width": MAX_HELP_WIDTH,
    "token_normalize_func": lambda name: name.replace("_", "-"),
}


@dataclass(frozen=True)
class ParsedFlags:
    """The values of a command line by setting, and its settings file."""

    flags: dict[str, object]
    settings_file: Path | None


class SettingsCommand(click.Command):
    """A command whose options are the settings that it declares, and their aliases."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.specs = setting_specs(command.load_settings())
        common = [
            click.Option(
                ["--settings", "--config", "settings_file"],
                metavar="FILE",
                help="YAML file of settings: flat, or with a section per command.",
            ),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]
        super().__init__(
            command.name,
            params=[
                *self._positional(),
                *map(_option, self.specs.values()),
                *self._aliases(),
                *common,
            ],
            help="\n\n".join(filter(None, (command.help, command.description))),
            epilog=f"Example: {command.example}",
            context_settings={
                **CONTEXT_SETTINGS,
                "allow_interspersed_args": not command.has_subcommand,
            },
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments; `--switch false` and `--switch=false` become `--no-switch`."""
        ctx.meta["arguments"] = list(args)
        spelled = args if self.command.has_subcommand else [*spell_values(args, self.specs)]
        try:
            return super().parse_args(ctx, spelled)
        except click.NoSuchOption:
            raise InputError(self._unknown_flags_message(ctx)) from None
        except click.UsageError as error:
            error.ctx = ctx  # click's parser does not set it
            raise

    def _unknown_flags_message(self, ctx: click.Context) -> str:
        """Return a line for each flag that the command does not have."""
        params = self.get_params(ctx)
        known = {flag for each in params for flag in (*each.opts, *each.secondary_opts)}
        words = [word for word in ctx.meta["arguments"] if FLAG.match(word)]
        flags = dict.fromkeys(word.partition("=")[0].replace("_", "-") for word in words)
        return "\n".join(
            f"{ctx.command_path}: {unknown_flag_message(flag, self.specs, path=ctx.command_path)}"
            for flag in flags
            if flag not in known
        )

    def parsed_flags(self, ctx: click.Context) -> ParsedFlags:
        """Return the values of the command line of a context."""
        given = {name: value for name, value in ctx.params.items() if value not in (None, ())}
        given.pop("debug")
        file = given.pop("settings_file", None)
        positional, name = given.pop("positional", None), self.command.positional
        if positional is not None and name is not None:
            self._reject_other_kinds(ctx, positional)
            if isinstance(positional, tuple):
                positional += given.get(name, ())
            elif name in given:
                raise InputError(
                    f"{ctx.command_path}: both {positional} and --{name} given; give one"
                )
            given[name] = positional
        return ParsedFlags(given, None if file is None else Path(file))

    def _reject_other_kinds(self, ctx: click.Context, values: object) -> None:
        """Raise an InputError for a settings file or a model where data files are expected."""
        if self.command.positional not in {"data", "prompts"}:
            return
        for value in values if isinstance(values, tuple) else (str(values),):
            if value.endswith((".yaml", ".yml")):
                found, flag = "a settings file", "--settings"
            elif value.startswith("builtin:") or Path(value, "config.json").is_file():
                found, flag = "a model", "--model"
            else:
                continue
            raise InputError(
                f"{ctx.command_path}: {value} is {found}, not data; give it with {flag} {value}"
            )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, panel by panel."""
        options = {option.name: option for option in self.get_params(ctx)}
        if self.command.positional is not None:
            spec = self.specs[self.command.positional]
            with formatter.section("Arguments"):
                formatter.write_dl([(self.metavar, f"The same as {spec.flag}.")])
        for panel, specs in groupby(self.specs.values(), key=lambda spec: spec.panel):
            records = [options[spec.name].get_help_record(ctx) for spec in specs]
            with formatter.section(panel):
                formatter.write_dl([record for record in records if record])
        common = (options["settings_file"], options["debug"], self.get_help_option(ctx))
        records = [option.get_help_record(ctx) for option in common if option]
        with formatter.section("Common options"):
            formatter.write_dl([record for record in records if record])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return completions; after `plan COMMAND`, the completions of that command."""
        if self.command.has_subcommand and ctx.params.get("positional"):
            return _complete_subcommand(ctx, None, incomplete)
        return super().shell_complete(ctx, incomplete)

    @property
    def metavar(self) -> str:
        """The placeholder of the positional arguments in help."""
        return self.command.metavar or str(self.command.positional).upper()

    def _positional(self) -> Iterator[click.Argument]:
        if self.command.positional is None:
            return
        spec = self.specs[self.command.positional]
        complete = _complete_subcommand if self.command.has_subcommand else _complete_value(spec)
        yield click.Argument(
            ["positional"],
            nargs=-1 if spec.is_list else 1,
            required=False,
            metavar=f"[{self.metavar}]{'...' if spec.is_list else ''}",
            type=click.UNPROCESSED if self.command.has_subcommand else click.STRING,
            shell_complete=complete,
        )

    def _aliases(self) -> Iterator[click.Option]:
        """Yield hidden options for the names that other tools use."""
        for name, alias in aliases_of(self.specs).items():
            if name in self.specs or alias.answer:
                continue
            spec = self.specs[alias.setting]
            is_switch = is_switch_alias(alias, spec)
            yield click.Option(
                _flags(name, is_switch=is_switch),
                hidden=True,
                default=None,
                multiple=spec.is_list and not is_switch,
            )


def parse_flags(command: Command, arguments: list[str]) -> ParsedFlags | None:
    """Return the values of a command line, or None if it asks for help, which is printed."""
    click_command = SettingsCommand(command)
    try:
        with click_command.make_context(f"upbring {command.name}", arguments) as ctx:
            return click_command.parsed_flags(ctx)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        raise InputError(usage_error_message(error)) from None


def usage_error_message(error: click.UsageError) -> str:
    """Return click's usage error in our form: where, what was found, what to do."""
    location = error.ctx.command_path if error.ctx else "upbring"
    hint = f"see `{location} --help`"
    command = error.ctx.command if error.ctx else None
    if isinstance(error, click.NoSuchOption) and command is not None:
        flags = [flag for param in command.params for flag in param.opts]
        suggestion = nearest(error.option_name, [*flags, "--help"])
        hint = f"did you mean {suggestion}?" if suggestion else hint
        return f"{location}: no such flag {error.option_name}; {hint}"
    text = error.format_message().rstrip(".").replace("Option ", "").replace("'", "")
    return f"{location}: {text[:1].lower()}{text[1:]}; {hint}"


def unknown_flag_message(flag: str, specs: Mapping[str, SettingSpec], *, path: str) -> str:
    """Return what to use instead of a flag that the command at `path` does not have."""
    style = CallStyle("flag", "")
    name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
    alias = find_alias(name, specs)
    if alias is not None and alias.answer:
        return f"{flag}: {render_names(alias.answer, style.show)}"
    if not flag.startswith("--"):
        suggestion = _long_flag(flag.lstrip("-"), specs)
    else:
        setting = nearest_setting(name, specs)
        suggestion = style.show(setting) if setting else None
    hint = f"did you mean {suggestion}?" if suggestion else f"see `{path} --help`"
    return f"no such flag {flag}; {hint}"


def _long_flag(letters: str, specs: Mapping[str, SettingSpec]) -> str | None:
    """Return the flag that a short one such as -o means; -lr is --lr."""
    if letters == "c":
        return "--settings"
    for name in (letters, *SHORT_FLAGS.get(letters, ())):
        if name in specs or find_alias(name, specs):
            return flag_of(name)
    return None


def _flags(name: str, *, is_switch: bool) -> list[str]:
    """Return click's declaration of a flag: its spelling and its parameter name."""
    flag = flag_of(name)
    return [f"{flag}/--no-{flag.removeprefix('--')}" if is_switch else flag, name]


def _option(spec: SettingSpec) -> click.Option:
    """Return the option of a setting, with values and default in its help."""
    is_switch = spec.value_type == "switch"
    details = (
        "" if is_switch or spec.choices else spec.range_text,
        "repeatable" if spec.is_list else "",
        "required" if spec.is_required else f"default: {spec.default_text}",
    )
    metavar = "|".join(spec.choices) or METAVARS.get(spec.value_type)
    return click.Option(
        _flags(spec.name, is_switch=is_switch),
        default=None,
        multiple=spec.is_list,
        metavar=metavar,
        help=f"{spec.help} [{'; '.join(filter(None, details))}]",
        shell_complete=None if is_switch else _complete_value(spec),
    )


def _complete_value(spec: SettingSpec) -> Complete:
    """Return the completion function of a setting's value: its choices, or files."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if spec.value_type == "path" or spec.name in STAGE_SETTINGS | {"run"}:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(each) for each in spec.choices if each.startswith(incomplete)]

    return complete


def _complete_subcommand(ctx: click.Context, _: object, incomplete: str) -> list[CompletionItem]:
    """Return completions for the arguments after `upbring plan`, as for a command of their own."""
    words = ctx.params.get("positional") or ()
    completion = ShellComplete(ctx.find_root().command, {}, "upbring", "_UPBRING_COMPLETE")
    return completion.get_completions([*words], incomplete)

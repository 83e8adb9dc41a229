"""The command line: arguments to a command that runs, errors to messages and exit codes.

Heavy modules are imported only when a command runs, so that help and shell completion are fast.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upbring import __version__, durable
from upbring.cli.command import Command
from upbring.cli.command_table import GROUPS, commands, split_command
from upbring.cli.quick_imports import resume_collection
from upbring.errors import (
    InputError,
    Interrupted,
    ResourceError,
    UpbringError,
    escape_control,
    nearest,
)
from upbring.interruption import ForcedStop
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.answered_names import Advice
from upbring.stages.registry import import_object

if TYPE_CHECKING:
    from upbring.cli.flags import ParsedFlags

PIPE_CLOSED_EXIT_CODE = 141
INTERRUPTED_EXIT_CODE = 130
RECIPE_MODEL_PATTERN = re.compile(r"\b(?:model|judge|reward_model):[ \t]*[\"']?([\w.-]+/[\w.-]+)")
COMPLETION_VARIABLE = "_UPBRING_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show √ shows ?
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_quietly()
        return PIPE_CLOSED_EXIT_CODE
    except ForcedStop as stop:
        sys.stderr.write(f"{stop}\n")
        return stop.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED_EXIT_CODE
    except Exception as error:  # noqa: BLE001 -- the outermost handler
        return _report_error(error, is_debug="--debug" in argv)
    return code


def configure_offline_mode(names: Iterable[str] = ()) -> None:
    """Switch the hub client to offline mode, unless one of `names` is a hub id.

    A name such as `owner/name` is a hub id if there is no folder `owner` here. Variables that the
    user set are kept. Telemetry is always off.
    """
    from upbring.runs.find_model import is_hub_id  # noqa: PLC0415 -- not needed for help

    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not any(map(is_hub_id, names)):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def model_names(settings: object) -> Iterator[str]:
    """Yield what may name a model in settings: of a command, of a recipe, of a command to plan."""
    for name in ("model", "models", "run", "judge", "reward_model", "do", "recipe"):
        value = getattr(settings, name, None)
        for each in value if isinstance(value, tuple) else (value,):
            text = str(each or "")
            yield text
            if text.endswith((".yaml", ".yml")) and Path(text).is_file():
                recipe = Path(text).read_text(encoding="utf-8", errors="replace")
                yield from RECIPE_MODEL_PATTERN.findall(recipe)


class CommandGroup(click.Group):
    """All commands, each imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return [*commands(), "completion"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, or by another tool's name for it."""
        del ctx
        if cmd_name == "completion":
            return _completion_command()
        name = COMMAND_ALIASES.get(cmd_name, cmd_name) if cmd_name not in commands() else cmd_name
        if isinstance(name, Advice):
            raise InputError(f"upbring {cmd_name}: {name}")
        if name not in commands():
            return None
        from upbring.cli.flags import SettingsCommand  # noqa: PLC0415 -- pydantic: 60 ms

        click_command = SettingsCommand(commands()[name])
        if cmd_name != name and click_command.help:
            click_command.help = f"`upbring {cmd_name}` is `upbring {name}`. {click_command.help}"

        def run(**_: object) -> int:
            ctx = click.get_current_context()
            parsed = click_command.parsed_flags(ctx)
            return _run_command(click_command.command, parsed, ctx.meta["arguments"])

        click_command.callback = run
        return click_command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name of the command, the command, and its arguments."""
        name, rest = split_command(args)
        click_command = self.get_command(ctx, name)
        if click_command is None and not ctx.resilient_parsing:
            suggestion = nearest(name, self.list_commands(ctx))
            hint = f"did you mean {suggestion}?" if suggestion else "see `upbring --help`"
            raise InputError(f"upbring: no such command {name}; {hint}")
        return (click_command.name if click_command else None), click_command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group, without importing their settings."""
        del ctx
        rows = [(each.group, each.name, each.help) for each in commands().values()]
        rows.append(("Tools", "completion", "Print the script for shell completion."))
        for group in GROUPS:
            with formatter.section(group):
                formatter.write_dl([(name, help_) for each, name, help_ in rows if each == group])


def make_command_line() -> CommandGroup:
    """Return the whole command line."""
    return CommandGroup(
        "upbring",
        params=[
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
            click.Option(
                ["--version", "-V"],
                is_flag=True,
                is_eager=True,
                callback=_print_version,
                expose_value=False,
                help="Print the version.",
            ),
        ],
        help="LLM post-training on one machine: from a base model to an assistant, with evidence.",
        epilog="Try it first: `upbring demo`, or with rows of your own `upbring sft chat.jsonl "
        "--model builtin:sprout`. `upbring COMMAND --help` shows the settings of a command.",
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
    )


def _dispatch(argv: list[str]) -> int:
    """Run the command that the arguments name, and return the exit code."""
    command_line = make_command_line()
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete  # noqa: PLC0415 -- imported only when needed

        return shell_complete(command_line, {}, "upbring", COMPLETION_VARIABLE, instruction)
    if not argv or argv[0] == "help":
        argv = [*argv[1:], "--help"]
    try:
        with command_line.make_context("upbring", list(argv)) as ctx:
            return command_line.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        from upbring.cli.flags import usage_error_message  # noqa: PLC0415 -- as above

        raise InputError(usage_error_message(error)) from None


def _run_command(command: Command, parsed: "ParsedFlags", arguments: list[str]) -> int:
    """Run a command, in several processes if its settings require it; return the exit code."""
    from upbring.cli.preflight.check_inputs import check_inputs  # noqa: PLC0415 -- as above
    from upbring.settings.resolve import CallStyle, resolve  # noqa: PLC0415 -- as above
    from upbring.settings.training import TrainSettings  # noqa: PLC0415 -- as above
    from upbring.train import launcher  # noqa: PLC0415 -- as above

    resolved = resolve(
        command.load_settings(),
        section=command.name,
        file=parsed.settings_file,
        flags=parsed.flags,
        other_sections={name: each.load_settings for name, each in commands().items()},
        style=CallStyle(
            "flag",
            f"see `upbring {command.name} --help`",
            positional=command.positional or "",
            metavar=command.metavar or str(command.positional).upper(),
            example=command.example,
        ),
    )
    settings = resolved.settings
    configure_offline_mode(model_names(settings))
    check_inputs(command, settings)
    if isinstance(settings, TrainSettings) and launcher.should_launch(settings.processes):
        return launcher.launch([command.name, *arguments], settings.processes)
    try:
        run = import_object(command.run)  # may take seconds: it imports torch
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was started\n")
        return INTERRUPTED_EXIT_CODE
    resume_collection()
    if command.is_method:
        run(command.name, resolved)
        return 0
    return run(resolved) or 0


def _completion_command() -> click.Command:
    """Return `upbring completion`, which prints a shell's completion script."""

    def print_script(shell: str) -> None:
        from click.shell_completion import get_completion_class  # noqa: PLC0415 -- as above

        completion = get_completion_class(shell)
        assert completion is not None, "click has one for each of SHELLS"
        script = completion(make_command_line(), {}, "upbring", COMPLETION_VARIABLE).source()
        sys.stdout.write(script)

    return click.Command(
        "completion",
        params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
        callback=print_script,
        help="Print the script that completes commands, flags and choices in a shell.",
        epilog='To use it in bash: eval "$(upbring completion bash)"',
    )


def _print_version(ctx: click.Context, _: click.Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing:
        sys.stdout.write(f"upbring {__version__}\n")
        ctx.exit()


def _report_error(error: Exception, *, is_debug: bool) -> int:
    """Print the error on stderr and return its exit code."""
    if is_debug:
        traceback.print_exception(error)
    if not isinstance(error, UpbringError):
        try:
            durable.raise_resource_error(error)
        except ResourceError as resource_error:
            error = resource_error
    if isinstance(error, UpbringError):
        if not (isinstance(error, Interrupted) and error.is_reported):
            sys.stderr.write(f"{escape_control(str(error))}\n")
        return error.exit_code
    summary = " ".join(f"{type(error).__name__}: {error}".split())
    debug_hint = "" if is_debug else "; run again with --debug for the traceback"
    sys.stderr.write(escape_control(f"this is a bug in upbring: {summary}{debug_hint}\n"))
    return 1


def _close_quietly() -> None:
    """Redirect the closed output, so that the interpreter's last flush does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = sys.stderr

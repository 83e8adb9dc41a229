"""The door: the words of a command line to a command that runs, and errors to messages and exit codes.

Nothing heavy is imported until a command runs: help and shell completion stay instant.
"""

import os
import re
import sys
import traceback
from pathlib import Path

from upbring.errors import InputError, UpbringError, nearest
from upbring.interruption import ForcedStop
from upbring.settings.command_table import COMMANDS, Command, commands, import_object

PIPE_CLOSED_EXIT_CODE = 141
HUB_ID_PATTERN = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)


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
        return 130
    except Exception as error:  # noqa: BLE001 -- the last place where a message can be made of it
        return _report_error(error, is_debug="--debug" in argv)
    return code


def configure_offline_mode(model: str | None = None) -> None:
    """Keep the hub's client from the network, unless `model` names a hub id.

    A name such as `owner/name` is a hub id when no folder of the name `owner` is here. What the
    user set in the environment stands. Telemetry is off either way.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    is_hub_id = bool(model and HUB_ID_PATTERN.fullmatch(model) and not Path(model).parent.exists())
    if not is_hub_id:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _dispatch(argv: list[str]) -> int:
    from upbring.cli.completion import is_completion_request, print_words  # noqa: PLC0415 -- only what is needed

    if is_completion_request():
        print_words(argv)
        return 0
    while argv and argv[0] == "--debug":
        argv = argv[1:]
    if not argv or argv[0] in {"--help", "-h", "help"}:
        _show_help()
    elif argv[0] in {"--version", "-V"}:
        from upbring import __version__  # noqa: PLC0415 -- as above

        sys.stdout.write(f"upbring {__version__}\n")
    elif argv[0] == "completion":
        from upbring.cli.completion import print_script  # noqa: PLC0415 -- as above

        print_script(argv[1:])
    elif argv[0] in commands():
        return _run_command(commands()[argv[0]], argv[1:])
    else:
        raise InputError(_unknown_command_message(argv[0]))
    return 0


def _run_command(command: Command, args: list[str]) -> int:
    """Run a command, in as many processes as its training asks for, and return its exit code."""
    from upbring.cli.flags import parse_flags  # noqa: PLC0415 -- typer and pydantic: 100 ms

    parsed = parse_flags(command, args)
    if parsed is None:
        return 0
    from upbring.settings.resolve import resolve  # noqa: PLC0415 -- as above
    from upbring.settings.training import TrainSettings  # noqa: PLC0415 -- as above
    from upbring.train import launcher  # noqa: PLC0415 -- as above

    settings_class = import_object(command.settings)
    resolved = resolve(
        settings_class, section=command.name, file=parsed.settings_file, flags=parsed.flags
    )
    settings = resolved.settings
    configure_offline_mode(getattr(settings, "model", None))
    if isinstance(settings, TrainSettings) and launcher.should_launch(settings.processes):
        return launcher.launch([command.name, *args], settings.processes)
    return import_object(command.run)(resolved) or 0


def _show_help() -> None:
    """Show all commands; their settings are not read for it."""
    import typer  # noqa: PLC0415 -- as above

    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.callback(
        help="Bring up a language model: from a base model to an assistant, with the evidence.",
        epilog="`upbring COMMAND --help` tells a command's settings. `upbring completion bash` prints "
        "the script that completes them. `upbring --version` tells the version.",
    )(lambda: None)
    for command in COMMANDS:
        app.command(command.name, help=command.help, rich_help_panel="Commands")(lambda: None)
    typer.main.get_command(app).main(["--help"], prog_name="upbring", standalone_mode=False)


def _unknown_command_message(word: str) -> str:
    if word.startswith("-"):
        suggestion = nearest(word, ["--help", "--version"])
        return f"upbring: no such flag {word}; {_hint(suggestion)}"
    return f"upbring: no such command {word}; {_hint(nearest(word, [*commands(), 'completion']))}"


def _hint(suggestion: str | None) -> str:
    return f"did you mean {suggestion}?" if suggestion else "see `upbring --help`"


def _report_error(error: Exception, *, is_debug: bool) -> int:
    """Tell the error on stderr and return its exit code."""
    if is_debug:
        traceback.print_exception(error)
    if isinstance(error, UpbringError):
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    summary = " ".join(f"{type(error).__name__}: {error}".split())
    debug_hint = "" if is_debug else "; run again with --debug for the traceback"
    sys.stderr.write(f"this is a defect in upbring: {summary}{debug_hint}\n")
    return 1


def _close_quietly() -> None:
    """Point the closed output elsewhere, so that the interpreter's last flush does not complain."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = sys.stderr

"""The door: the words of a command line to a verb that runs, and errors to messages and exit codes.

Nothing heavy is imported until a verb runs: help and shell completion stay instant.
"""

import os
import re
import sys
import traceback
from pathlib import Path

from upbring.errors import InputError, UpbringError, nearest
from upbring.interruption import StoppedAtOnce
from upbring.settings.command_table import VERBS, Verb, imported, verbs

PIPE_CLOSED = 141
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show √ shows ?
    try:
        code = _enter(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_quietly()
        return PIPE_CLOSED
    except StoppedAtOnce as stop:
        sys.stderr.write(f"{stop}\n")
        return stop.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 -- the last place where a message can be made of it
        return _told(error, is_debug="--debug" in words)
    return code


def offline(model: str | None = None) -> None:
    """Keep the hub's client from the network, unless `model` names a hub id.

    A name such as `owner/name` is a hub id when no folder of the name `owner` is here. What the
    user set in the environment stands. Telemetry is off either way.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    is_hub_id = bool(model and HUB_ID.fullmatch(model) and not Path(model).parent.exists())
    if not is_hub_id:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _enter(words: list[str]) -> int:
    from upbring.cli.completion import asked, print_words  # noqa: PLC0415 -- only what is needed

    if asked():
        print_words(words)
        return 0
    while words and words[0] == "--debug":
        words = words[1:]
    if not words or words[0] in {"--help", "-h", "help"}:
        _show_help()
    elif words[0] in {"--version", "-V"}:
        from upbring import __version__  # noqa: PLC0415 -- as above

        sys.stdout.write(f"upbring {__version__}\n")
    elif words[0] == "completion":
        from upbring.cli.completion import print_script  # noqa: PLC0415 -- as above

        print_script(words[1:])
    elif words[0] in verbs():
        return _run(verbs()[words[0]], words[1:])
    else:
        raise InputError(_unknown(words[0]))
    return 0


def _run(verb: Verb, words: list[str]) -> int:
    """Run a verb, in as many processes as its training asks for, and return its exit code."""
    from upbring.cli.flags import parse  # noqa: PLC0415 -- typer and pydantic: 100 ms

    call = parse(verb, words)
    if call is None:
        return 0
    from upbring.settings.resolve import resolve  # noqa: PLC0415 -- as above
    from upbring.settings.training import TrainSettings  # noqa: PLC0415 -- as above
    from upbring.train import launcher  # noqa: PLC0415 -- as above

    kind = imported(verb.settings)
    resolved = resolve(kind, section=verb.name, file=call.file, flags=call.flags)
    settings = resolved.settings
    offline(getattr(settings, "model", None))
    if isinstance(settings, TrainSettings) and launcher.is_wanted(settings.processes):
        return launcher.launch([verb.name, *words], settings.processes)
    return imported(verb.run)(resolved) or 0


def _show_help() -> None:
    """Show all verbs; their settings are not read for it."""
    import typer  # noqa: PLC0415 -- as above

    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.callback(
        help="Bring up a language model: from a base model to an assistant, with the evidence.",
        epilog="`upbring VERB --help` tells a verb's settings. `upbring completion bash` prints "
        "the script that completes them. `upbring --version` tells the version.",
    )(lambda: None)
    for verb in VERBS:
        app.command(verb.name, help=verb.help, rich_help_panel="Verbs")(lambda: None)
    typer.main.get_command(app).main(["--help"], prog_name="upbring", standalone_mode=False)


def _unknown(word: str) -> str:
    if word.startswith("-"):
        meant = nearest(word, ["--help", "--version"])
        return f"upbring: no such flag {word}; {_hint(meant)}"
    return f"upbring: no such verb {word}; {_hint(nearest(word, [*verbs(), 'completion']))}"


def _hint(meant: str | None) -> str:
    return f"did you mean {meant}?" if meant else "see `upbring --help`"


def _told(error: Exception, *, is_debug: bool) -> int:
    """Tell the error on stderr and return its exit code."""
    if is_debug:
        traceback.print_exception(error)
    if isinstance(error, UpbringError):
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    found = " ".join(f"{type(error).__name__}: {error}".split())
    again = "" if is_debug else "; run again with --debug for the traceback"
    sys.stderr.write(f"this is a defect in upbring: {found}{again}\n")
    return 1


def _close_quietly() -> None:
    """Point the closed output elsewhere, so that the interpreter's last flush does not complain."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = sys.stderr

"""`upbring chat`: talk with a model in the terminal."""

import contextlib
import sys
from importlib import import_module

from rich.console import Console

from upbring.errors import InputError
from upbring.model.load import load
from upbring.serve.streaming import speaker
from upbring.serve.terminal_chat import HELP, Talk
from upbring.settings.commands.chat import ChatSettings
from upbring.settings.resolve import Resolved
from upbring.train import devices


def run(resolved: Resolved[ChatSettings]) -> None:
    """Load the model and talk until the user leaves."""
    settings = resolved.settings
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    machine = devices.prepare(settings)
    loaded = load(settings.model, device=machine.device, compute=machine.compute, notice=say)
    talk = Talk(speaker(loaded), settings, settings.seed, settings.system, _write)
    if settings.prompt is not None:
        talk.turn(settings.prompt)
        _write("\n")
        return
    if sys.stdin.isatty():
        say(f"{settings.model} · {HELP}")
    _talk(talk)


def _talk(talk: Talk) -> None:
    """Read lines until there are none."""
    is_shown = sys.stdin.isatty()
    if is_shown:
        with contextlib.suppress(ImportError):
            import_module("readline")  # arrow keys and history for `input`, where there is one
    while True:
        try:
            text = input("> " if is_shown else "")
        except EOFError:
            break
        except UnicodeDecodeError as error:
            raise InputError(f"standard input: is not UTF-8 ({error}); convert it") from error
        except KeyboardInterrupt:
            _write("\n")
            break
        try:
            if not talk.hears(text):
                break
        except InputError as error:  # a person goes on, with /undo or /new; a pipe cannot
            if not is_shown:
                raise
            _write(f"{error}\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""`upbring chat`: chat with a model in the terminal."""

import contextlib
import sys
from collections.abc import Sequence
from importlib import import_module

from upbring.data.read.records import Message
from upbring.errors import InputError, UpbringError
from upbring.model.load import load
from upbring.serve.streaming import make_chat_model
from upbring.serve.terminal_chat import HINT, TerminalChat
from upbring.serve.terminal_votes import store_better_answer
from upbring.serve.word_wrap import WordWrap
from upbring.settings.commands.chat import ChatSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train import devices
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ChatSettings]) -> None:
    """Load the model and chat until the user quits."""
    settings = resolved.settings
    console = Console(stderr=True)
    log, track = make_log(console), make_tracker(console)
    machine = devices.prepare(settings)
    device, compute_dtype = machine.device, machine.compute_dtype
    loaded = load(
        settings.model,
        device=device,
        compute_dtype=compute_dtype,
        quantization=settings.quantization,
        log=log,
        track=track,
    )

    def store_vote(prompt: Sequence[Message], best: str, worst: str) -> None:
        store_better_answer(settings.votes, prompt, best, worst, model=settings.model)

    chat = TerminalChat(
        make_chat_model(loaded), settings, settings.seed, settings.system, _write, store_vote
    )
    if settings.prompt is not None:
        chat.send(settings.prompt)
        _write("\n")
        return
    if sys.stdin.isatty():
        log(f"{settings.model} · {HINT}")
    if sys.stdout.isatty():
        chat.write = WordWrap(_write)
    _chat_loop(chat)


def _chat_loop(chat: TerminalChat) -> None:
    """Read and handle lines until the end of the input."""
    is_interactive = sys.stdin.isatty()
    if is_interactive:
        with contextlib.suppress(ImportError):
            import_module("readline")  # arrow keys and history for `input`, if available
    while True:
        try:
            prompt = "… " if chat.block is not None else "> "
            text = input(prompt if is_interactive else "")
        except EOFError:
            break
        except UnicodeDecodeError as error:
            raise InputError(f"standard input: is not UTF-8 ({error}); convert it") from error
        except KeyboardInterrupt:
            _write("\n")
            break
        try:
            if not chat.handle_line(text):
                break
        except UpbringError as error:  # in a terminal, /undo or /new can follow
            if not is_interactive:
                raise
            _write(f"{error}\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

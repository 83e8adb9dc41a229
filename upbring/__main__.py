"""Entry point of `upbring` and `python -m upbring`."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import MutableMapping
from typing import NoReturn

INTERRUPTED_EXIT_CODE = 130
STOPPED_EXIT_CODES = {129, 130, 143}  # SIGHUP, Ctrl-C and SIGTERM

STDERR_DESCRIPTOR = 2

# OpenMP threads spin at a barrier, by default 300,000 times. This wastes time when another program
# occupies a core. With a tenth of that, sampling 16 responses of 64 tokens takes 6 s instead of
# 16 s on a busy machine; an idle machine shows no difference.
SPIN_COUNT = "30000"

LIBRARY_LOG_LEVELS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def main() -> NoReturn:
    """Run the command line and exit; after a signal, exit without joining compute threads.

    Ctrl-C while modules are imported ends without a traceback, too.
    """
    try:
        code = _run()
    except KeyboardInterrupt:
        os.write(STDERR_DESCRIPTOR, b"interrupted; nothing was started\n")
        os._exit(INTERRUPTED_EXIT_CODE)
    if code in STOPPED_EXIT_CODES:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    open_standard_streams()
    limit_thread_spinning(os.environ)
    if "--debug" not in sys.argv:
        silence_libraries(os.environ)
    from upbring.cli.quick_imports import (  # noqa: PLC0415 -- interruptible here
        import_peft_without_bitsandbytes,
        pause_collection,
    )

    pause_collection()
    import_peft_without_bitsandbytes()
    from upbring.cli.main import main as run_command_line  # noqa: PLC0415

    return run_command_line()


def silence_libraries(env: MutableMapping[str, str]) -> None:
    """Keep the warnings of libraries off the terminal: upbring reports what users must know.

    Call this before importing libraries. What the user set (`-W`, variables) is kept.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # of libraries that configure no logging
    for name, level in LIBRARY_LOG_LEVELS.items():
        env.setdefault(name, level)


def open_standard_streams() -> None:
    """Let closed standard streams (`>&-`) lead nowhere.

    Otherwise the next file that is opened gets the descriptor, and output is written into it.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    while nowhere <= STDERR_DESCRIPTOR:  # the lowest free one is given
        os.set_inheritable(nowhere, True)  # noqa: FBT003 -- positional-only
        nowhere = os.open(os.devnull, os.O_RDWR)
    os.close(nowhere)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = 1 if name == "stdout" else STDERR_DESCRIPTOR
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))


def limit_thread_spinning(env: MutableMapping[str, str]) -> None:
    """Set a low OpenMP spin count unless the user chose one. Call this before importing torch."""
    if "OMP_WAIT_POLICY" not in env:
        env.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


if __name__ == "__main__":
    main()

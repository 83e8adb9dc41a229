"""Commands with little memory, each in a forked process; run by test_little_memory.

    python -m tests.cli.limited MEGABYTES < commands.json

Reads lists of words and writes, for each, the exit code and what the command printed. The limit is
the address space that the imported libraries take, and so many megabytes more.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import psutil

import upbring
from upbring.cli.main import main


def import_all(package: ModuleType) -> None:
    """Import every module of a package, so that a limit afterwards is not one for libraries."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ModuleNotFoundError):  # of an extra
                importlib.import_module(module.name)


def run_limited(words: list[str], *, room: int) -> tuple[int, str]:
    """Return the exit code and the output of a command that may take `room` more bytes."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_CREAT | os.O_WRONLY)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            faulthandler.enable()
            process = psutil.Process()
            limit = process.memory_info().vms + room
            process.rlimit(psutil.RLIMIT_AS, (limit, limit))
            try:
                code = main(words)
                sys.stdout.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), output.read_text(errors="replace")


if __name__ == "__main__":
    import_all(upbring)
    commands = json.load(sys.stdin)
    room = int(sys.argv[1]) * 2**20
    json.dump([run_limited(words, room=room) for words in commands], sys.stdout)

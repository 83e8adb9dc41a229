"""`python -m upbring`: the same as the `upbring` command."""

import contextlib
import os
import sys
from collections.abc import MutableMapping
from typing import NoReturn

from upbring.cli.main import main as run_command_line

STOPPED_EXIT_CODES = {130, 143}  # by Ctrl-C and by SIGTERM

# Threads that share a product wait for one another by turning round and round, by themselves
# 300,000 times: for nothing where another program has taken the other's core. With a tenth of that,
# 64 tokens of 16 responses take 6 s there in place of 16, and as long as before on a quiet machine.
SPIN_COUNT = "30000"


def main() -> NoReturn:
    """Go through the door, and leave; who was told to stop waits for no thread that computes."""
    limit_thread_spinning(os.environ)
    code = run_command_line()
    if code in STOPPED_EXIT_CODES:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def limit_thread_spinning(env: MutableMapping[str, str]) -> None:
    """Let threads wait shortly for one another, unless the user has said how; torch comes later."""
    if "OMP_WAIT_POLICY" not in env:
        env.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


if __name__ == "__main__":
    main()

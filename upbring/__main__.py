"""`python -m upbring`: the same door as the `upbring` command."""

import contextlib
import os
import sys
from typing import NoReturn

from upbring.cli import door

STOPPED = {130, 143}  # by Ctrl-C and by SIGTERM


def main() -> NoReturn:
    """Go through the door, and leave; who was told to stop waits for no thread that computes."""
    code = door.main()
    if code in STOPPED:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()

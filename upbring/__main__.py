"""`python -m upbring`: the same door as the `upbring` command."""

import sys

from upbring.cli.door import main

if __name__ == "__main__":
    sys.exit(main())

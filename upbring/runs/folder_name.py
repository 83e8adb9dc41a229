"""Which names a run, a stage or another folder may have."""

import re

# Characters that Windows forbids are forbidden on every system.
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]')
MAX_LENGTH = 100
RULE = "use letters, digits, - and _"


def is_folder_name(name: str) -> bool:
    r"""Whether a name is one plain folder: no path, nothing hidden, nothing unprintable.

    >>> [is_folder_name(n) for n in ("sft-1", "..", "a/b", ".a", "a.", "a\x1b[2J", "a\u202e")]
    [True, False, False, False, False, False, False]
    """
    return (
        0 < len(name) <= MAX_LENGTH
        and name.isprintable()
        and not _FORBIDDEN.search(name)
        and not name.startswith((".", " "))
        and not name.endswith((".", " "))
    )

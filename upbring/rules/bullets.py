"""List items in a response: lines that begin with a bullet or a number."""

import re

_LIST_ITEM = re.compile(r"^[ \t]{0,16}(?:[-*+•–]|\d{1,3}[.)])[ \t]+(\S.*)$", re.MULTILINE)


def list_items(text: str) -> list[str]:
    r"""Return the list items in the text, without their markers.

    >>> list_items("Two things:\n- milk\n2. bread")
    ['milk', 'bread']
    """
    return [item.rstrip() for item in _LIST_ITEM.findall(text)]


def is_list(text: str, *, count: int | None = None) -> bool:
    r"""Return whether every non-blank line is a list item, and `count` items if given.

    >>> is_list("- milk\n- bread", count=2), is_list("Two things:\n- milk")
    (True, False)
    """
    lines = [line for line in text.splitlines() if line.strip()]
    items = list_items("\n".join(lines))
    return bool(items) and len(items) == len(lines) and count in {None, len(items)}

"""Lists in an answer: the items of lines that begin with a bullet or a number."""

import re

_LIST_ITEM = re.compile(r"^[ \t]{0,16}(?:[-*+•–]|\d{1,3}[.)])[ \t]+(\S.*)$", re.MULTILINE)


def list_items(text: str) -> list[str]:
    r"""Return the items of the lists in the text.

    >>> list_items("Two things:\n- milk\n2. bread")
    ['milk', 'bread']
    """
    return [item.rstrip() for item in _LIST_ITEM.findall(text)]


def is_list(text: str, *, count: int | None = None) -> bool:
    r"""Tell whether every line that is not blank is an item, and there are `count` of them.

    >>> is_list("- milk\n- bread", count=2), is_list("Two things:\n- milk")
    (True, False)
    """
    lines = [line for line in text.splitlines() if line.strip()]
    items = list_items("\n".join(lines))
    return bool(items) and len(items) == len(lines) and count in {None, len(items)}

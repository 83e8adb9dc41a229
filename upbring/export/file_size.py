"""Sizes as text, such as 5GB or 500MiB."""

import re

from upbring.errors import InputError, format_value

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMG]I?B)", re.IGNORECASE)


def parse_size(text: str, *, setting: str) -> int:
    """Return a number of bytes.

    >>> parse_size("5GB", setting="--shard-size"), parse_size("0.5 mib", setting="--shard-size")
    (5000000000, 524288)
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size <= 0:
        raise InputError(f"{setting}: {format_value(text)} is no size; give one such as 5GB")
    return size

"""The hashes of the rows that a model was trained on, next to its weights.

A row is recognized by its prompt (a document by its text) wherever it is scored or evaluated,
also in another file and with other white space or capitals. A model trained further keeps the rows
of the model that it started from.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from upbring import durable

FILE = "trained_rows.txt"


def row_hash(text: str) -> str:
    r"""Return the hash of a prompt, whatever its white space and capitals.

    >>> row_hash("What is  snow?\n") == row_hash("what is snow?") != row_hash("what is ice?")
    True
    """
    normalized = " ".join(text.casefold().split())
    return hashlib.sha256(normalized.encode(errors="backslashreplace")).hexdigest()[:16]


def write_trained_rows(folder: Path, hashes: Iterable[str]) -> None:
    """Save the hashes in a model's folder."""
    durable.write_text(folder / FILE, "".join(f"{each}\n" for each in sorted(set(hashes))))


def read_trained_rows(folder: Path) -> frozenset[str] | None:
    """Return the hashes of a model's folder; None if they are not known."""
    path = folder / FILE
    if not path.is_file():
        return None
    with durable.explain_os_errors(path):
        return frozenset(path.read_text(encoding="utf-8").split())

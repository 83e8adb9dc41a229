"""What a saved folder held, file by file, and whether it still does.

`manifest.json` gives the size, the SHA-256 and the checksums of the pieces of every file. It is
sealed by a hash of its own, so that no bit of it can change unseen either. Files that it does not
name are not looked at.
"""

import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from upbring.errors import InputError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MANIFEST = "manifest.json"
PIECE_BYTES = 4 * 2**20  # a damaged file is named with the pieces in which it differs


class Damaged(InputError):  # noqa: N818 -- `except durable.Damaged` reads as the claim it is
    """A saved file is not what its manifest says."""


def verify(folder: Path) -> None:
    """Raise `Damaged`, naming file and bytes, unless every file is as its manifest says."""
    for name, promised in _read(folder).items():
        path = folder / name
        try:
            found = _fingerprint(path)
        except OSError as error:
            raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
        if found != promised:
            raise Damaged(f"{path}: {_difference(found, promised)}")


def manifest(folder: Path, paths: Iterable[Path]) -> bytes:
    """Return the text of a manifest of `paths`, files that lie in `folder`."""
    return _sealed({path.relative_to(folder).as_posix(): _fingerprint(path) for path in paths})


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_bytes(value: JSON) -> bytes:
    r"""Return `value` as JSON for people to read; what UTF-8 cannot hold is escaped.

    >>> json_bytes({"name": "Zoë"}).decode()
    '{\n  "name": "Zoë"\n}\n'
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(errors="backslashreplace")


def _fingerprint(path: Path) -> dict[str, JSON]:
    whole, pieces, num_bytes = hashlib.sha256(), [], 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            whole.update(piece)
            pieces.append(zlib.crc32(piece))
            num_bytes += len(piece)
    return {"bytes": num_bytes, "sha256": whole.hexdigest(), "crc32": pieces}


def _difference(found: Mapping[str, JSON], promised: JSON) -> str:
    entry: Mapping[str, JSON] = promised if isinstance(promised, Mapping) else {}
    if found["bytes"] != entry.get("bytes"):
        return f"has {found['bytes']} bytes, and had {entry.get('bytes')} when it was saved"
    ours, theirs = found["crc32"], entry.get("crc32")
    if isinstance(ours, Sequence) and isinstance(theirs, Sequence):
        pairs = enumerate(itertools.zip_longest(ours, theirs))
        wrong = [index for index, (left, right) in pairs if left != right]
        if wrong:
            first, last = wrong[0] * PIECE_BYTES, (wrong[-1] + 1) * PIECE_BYTES
            return f"differs from what was saved between bytes {first} and {last}"
    return "differs from what was saved"


def _sealed(files: JSON) -> bytes:
    return json_bytes({"files": files, "seal": hashlib.sha256(json_bytes(files)).hexdigest()})


def _read(folder: Path) -> Mapping[str, JSON]:
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        files: Mapping[str, JSON] = json.loads(data)["files"]
        is_whole = data == _sealed(files) and isinstance(files, dict)
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"{path}: is no manifest any more") from error
    if not is_whole:
        raise Damaged(f"{path}: differs from what was saved")
    return files

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
    for name, expected in _read_manifest(folder).items():
        path = folder / name
        try:
            actual = _file_checksums(path)
        except OSError as error:
            raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
        if actual != expected:
            raise Damaged(f"{path}: {_describe_difference(actual, expected)}")


def make_manifest(folder: Path, paths: Iterable[Path]) -> bytes:
    """Return the text of a manifest of `paths`, files that lie in `folder`."""
    return _seal_manifest(
        {path.relative_to(folder).as_posix(): _file_checksums(path) for path in paths}
    )


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


def _file_checksums(path: Path) -> dict[str, JSON]:
    digest, checksums, num_bytes = hashlib.sha256(), [], 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            checksums.append(zlib.crc32(piece))
            num_bytes += len(piece)
    return {"bytes": num_bytes, "sha256": digest.hexdigest(), "crc32": checksums}


def _describe_difference(actual: Mapping[str, JSON], expected: JSON) -> str:
    entry: Mapping[str, JSON] = expected if isinstance(expected, Mapping) else {}
    if actual["bytes"] != entry.get("bytes"):
        return f"has {actual['bytes']} bytes, and had {entry.get('bytes')} when it was saved"
    actual_checksums, expected_checksums = actual["crc32"], entry.get("crc32")
    if isinstance(actual_checksums, Sequence) and isinstance(expected_checksums, Sequence):
        pairs = enumerate(itertools.zip_longest(actual_checksums, expected_checksums))
        differing = [index for index, (left, right) in pairs if left != right]
        if differing:
            first, last = differing[0] * PIECE_BYTES, (differing[-1] + 1) * PIECE_BYTES
            return f"differs from what was saved between bytes {first} and {last}"
    return "differs from what was saved"


def _seal_manifest(files: JSON) -> bytes:
    return json_bytes({"files": files, "seal": hashlib.sha256(json_bytes(files)).hexdigest()})


def _read_manifest(folder: Path) -> Mapping[str, JSON]:
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        files: Mapping[str, JSON] = json.loads(data)["files"]
        is_intact = data == _seal_manifest(files) and isinstance(files, dict)
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"{path}: is no manifest any more") from error
    if not is_intact:
        raise Damaged(f"{path}: differs from what was saved")
    return files

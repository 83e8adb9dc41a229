"""The manifest of a saved folder, and its verification.

`manifest.json` contains the size, the SHA-256 and the CRC-32 of each 4 MiB piece of every file. A
hash of its own content detects a change of the manifest itself. Files that it does not list are
not checked.
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
PIECE_BYTES = 4 * 2**20  # an error names the damaged byte range at this resolution


class Damaged(InputError):  # noqa: N818 -- callers write `except durable.Damaged`
    """A saved file differs from its manifest."""


def verify(folder: Path) -> None:
    """Raise `Damaged`, with the file and the byte range, if a file differs from the manifest."""
    for name, expected in _read_manifest(folder).items():
        path = folder / name
        try:
            actual = _file_checksums(path)
        except OSError as error:
            raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
        if actual != expected:
            raise Damaged(f"{path}: {_describe_difference(actual, expected)}")


def make_manifest(folder: Path, paths: Iterable[Path]) -> bytes:
    """Return the content of a manifest for `paths`, which are files in `folder`."""
    return _seal_manifest(
        {path.relative_to(folder).as_posix(): _file_checksums(path) for path in paths}
    )


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_bytes(value: JSON) -> bytes:
    r"""Return `value` as indented JSON; characters that UTF-8 cannot encode are escaped.

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
        return f"has {actual['bytes']} bytes, but had {entry.get('bytes')} when it was saved"
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
        raise Damaged(f"{path}: is not a valid manifest") from error
    if not is_intact:
        raise Damaged(f"{path}: differs from what was saved")
    return files

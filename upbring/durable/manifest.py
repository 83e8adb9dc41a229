"""The manifest of a saved folder, and the verification of everything that is read from one.

`manifest.json` contains the size, the SHA-256 and the CRC-32 of each 4 MiB piece of every file. A
hash of its own content detects a change of the manifest itself. Files that it does not list are
not checked. A `manifest.json` of another program, without a `seal`, is no manifest.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from upbring.durable.checksums import PIECE_BYTES, FileChecksums, file_checksums
from upbring.errors import InputError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MANIFEST = "manifest.json"
MAX_DEPTH = 2  # folders above a file that may have the manifest which lists it


class Damaged(InputError):  # noqa: N818 -- callers write `except durable.Damaged`
    """A saved file differs from its manifest."""


def verify(folder: Path) -> frozenset[str]:
    """Return the names of the verified files; raise `Damaged` if one differs, with its byte range.

    A folder without a manifest is damaged.
    """
    if (names := verify_if_sealed(folder)) is None:
        raise Damaged(f"{folder / MANIFEST}: cannot be read: there is none; restore the folder")
    return names


def verify_if_sealed(folder: Path) -> frozenset[str] | None:
    """Verify a folder as `verify` does; return None if it has no manifest."""
    files = _read_manifest(folder)
    if files is None:
        return None
    for name, expected in files.items():
        _verify_file(folder, name, expected)
    return frozenset(files)


def listed_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder's manifest; none if it has no manifest."""
    return frozenset(_read_manifest(folder) or {})


def add_to_manifest(folder: Path, names: Iterable[str]) -> bytes | None:
    """Return a folder's manifest with further files, or their new content; None if it has none."""
    files = _read_manifest(folder)
    if files is None:
        return None
    more = {name: _as_json(file_checksums(folder / name)) for name in names}
    return _seal_manifest({**files, **more})


def verify_file(path: Path) -> None:
    """Raise `Damaged` if a file differs from the manifest that lists it, in a folder above it."""
    for folder in [*path.absolute().parents][:MAX_DEPTH]:
        name = path.absolute().relative_to(folder).as_posix()
        if (files := _read_manifest(folder)) is not None and name in files:
            _verify_file(folder, name, files[name])
            return


def make_manifest(folder: Path, paths: Iterable[Path]) -> bytes:
    """Return the content of a manifest for `paths`, which are files in `folder`."""
    return _seal_manifest(
        {path.relative_to(folder).as_posix(): _as_json(file_checksums(path)) for path in paths}
    )


def json_bytes(value: JSON) -> bytes:
    r"""Return `value` as indented JSON; characters that UTF-8 cannot encode are escaped.

    >>> json_bytes({"name": "Zoë"}).decode()
    '{\n  "name": "Zoë"\n}\n'
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(errors="backslashreplace")


def _verify_file(folder: Path, name: str, expected: JSON) -> None:
    path = folder / name
    try:
        actual = _as_json(file_checksums(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise Damaged(f"{path}: cannot be read: {reason}; {_fix(folder)}") from error
    if actual != expected:
        raise Damaged(f"{path}: {_describe_difference(actual, expected)}; {_fix(folder)}")


def _fix(folder: Path) -> str:
    return (
        f"restore it or make it again; if you changed it yourself, delete {folder / MANIFEST}, and "
        "the folder is used as it is"
    )


def _as_json(checksums: FileChecksums) -> dict[str, JSON]:
    return {
        "bytes": checksums.num_bytes,
        "sha256": checksums.sha256,
        "crc32": [*checksums.crc32],
    }


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


def _read_manifest(folder: Path) -> Mapping[str, JSON] | None:
    """Return the entries of a folder's manifest, or None if there is none."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        content = json.loads(data)
        if isinstance(content, dict) and content and not {"files", "seal"} & content.keys():
            return None  # of another program
        files: Mapping[str, JSON] = content["files"]
        is_intact = data == _seal_manifest(files) and isinstance(files, dict)
        is_intact = is_intact and all(map(_is_inside, files))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"{path}: is not a valid manifest; {_fix(folder)}") from error
    if not is_intact:
        raise Damaged(f"{path}: differs from what was saved; {_fix(folder)}")
    return files


def _is_inside(name: str) -> bool:
    """Whether a name is a file below the folder.

    >>> [_is_inside(name) for name in ("a/b.json", "../b.json", "/b.json")]
    [True, False, False]
    """
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts

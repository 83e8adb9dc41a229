"""Replace a folder by its data files, if it is clear which files are meant.

A folder is read if all its data files have the same type, such as the shards of one dataset. Files
that describe a dataset or its license are left out. A folder that holds training and evaluation
files together is refused, because an evaluation file must not be trained on.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from upbring.data.read import files
from upbring.errors import InputError

_DESCRIPTIONS = re.compile(
    r"(?:dataset_infos?|dataset_dict|state|metadata|package)\.json|cache-.*|[._].*"
    r"|(?:readme|license|licence|notice|changelog|requirements)\b.*",
    re.IGNORECASE,
)
_EVALUATION = re.compile(
    r"(?:^|[^a-z])(?:test|valid|validation|val|dev|eval|held[-_]?out)(?=[^a-z]|$)", re.IGNORECASE
)
_MAX_NAMED = 3


def expand_folders(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the paths with each folder replaced by its data files, in the order of their names."""
    return tuple(
        file for path in paths for file in (_data_files(path) if path.is_dir() else [path])
    )


def _data_files(folder: Path) -> list[Path]:
    found = _list_data_files(folder)
    if not found:
        raise InputError(f"{folder}: {_no_files_reason(folder)}")
    kinds = sorted({files.extension(path) for path in found})
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: contains {' and '.join(kinds)} files; name those that are meant, "
            f"such as {found[0]}"
        )
    evaluation = [path for path in found if _EVALUATION.search(path.name)]
    if evaluation and len(evaluation) < len(found):
        training = next(path for path in found if path not in evaluation)
        raise InputError(
            f"{folder}: contains files for training and for evaluation ({training.name} and "
            f"{evaluation[0].name}); name those that are meant, such as {training}"
        )
    return found


def _list_data_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and files.extension(path) in files.EXTENSIONS
        and not _DESCRIPTIONS.fullmatch(path.name)
    )


def _no_files_reason(folder: Path) -> str:
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and _list_data_files(p))
    if not folders:
        return "is a folder without data files; name a data file"
    names = ", ".join(str(path) for path in folders[:_MAX_NAMED])
    return f"is a folder without data files; name a folder in it that has some: {names}"

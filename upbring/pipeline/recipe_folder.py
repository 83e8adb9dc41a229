"""The folder of a recipe's runs: one for each recipe, so that no report shows another's numbers."""

import hashlib
import os
from pathlib import Path


def default_folder(file: Path) -> Path:
    """Return the folder of a recipe's runs: its name, and a hash of its path from here.

    Two recipes of one name have two folders; a changed recipe keeps its own.

    >>> default_folder(Path("recipe.yaml")).as_posix()
    'runs/recipe-e6afb07c'
    """
    path = Path(os.path.relpath(file.absolute())).as_posix()
    digest = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()
    return Path("runs") / f"{file.stem}-{digest[:8]}"

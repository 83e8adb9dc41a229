"""Every library that the code imports is declared, and none comes along by chance."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {"yaml": "pyyaml", "lm_eval": "lm-eval", "datasets": "datasets", "pyarrow": "pyarrow"}


def imported() -> set[str]:
    """Return the top-level names of all imports outside of the standard library."""
    names = set()
    for path in (ROOT / "upbring").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"upbring", "_typeshed"}


def declared() -> set[str]:
    """Return the normalized names of all declared distributions, the extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    rows = [
        *project["dependencies"],
        *(row for name in extras if name != "dev" for row in extras[name]),
    ]
    return {_normalize(re.split(r"[\[<>=!~; ]", row)[0]) for row in rows}


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared() -> None:
    distributions = packages_distributions()
    undeclared = {
        name
        for name in imported()
        if not {MODULES.get(name), *map(_normalize, distributions.get(name, [name]))} & declared()
    }
    assert undeclared == set()

"""`upbring runs tree`: which run was trained from which."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text
from rich.tree import Tree

from upbring.cli.runs.list_runs import no_runs_text
from upbring.runs.dependencies import MODEL, Dependency, find_dependencies, trained_from
from upbring.runs.find_model import is_hub_id
from upbring.runs.nested_runs import name_in, nested_runs
from upbring.runs.run_folder import Run
from upbring.settings.commands.runs import RunsTreeSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console


def run(resolved: Resolved[RunsTreeSettings]) -> None:
    """Print a tree for each model that runs started from."""
    folder = resolved.settings.runs
    runs = nested_runs(folder)
    console = Console()
    if not runs:
        console.print(no_runs_text(folder), markup=False, soft_wrap=True)
    for tree in make_trees(folder, runs):
        console.print(tree)


def make_trees(folder: Path, runs: Sequence[Run]) -> list[Tree]:
    """Return the runs below the models that they started from; a root is no run."""
    dependencies = find_dependencies(runs)
    parents = {
        each.run.path: each.parent.path
        for each in dependencies
        if each.setting == MODEL and not each.is_replaced
    }
    roots: dict[Path, Tree] = {}
    nodes: dict[Path, Tree] = {}
    for each in _parents_first(runs, parents):
        label = _label(folder, each, [d for d in dependencies if d.run == each])
        if each.path in parents:
            nodes[each.path] = nodes[parents[each.path]].add(label)
        else:
            name, path = _root(each)
            root = roots.setdefault(path, Tree(Text(name, style="bold")))
            nodes[each.path] = root.add(label)
    return list(roots.values())


def _parents_first(runs: Sequence[Run], parents: Mapping[Path, Path]) -> list[Run]:
    """Return the runs, each after the run that it was trained from."""

    def depth(path: Path) -> int:
        return 1 + depth(parents[path]) if path in parents else 0

    return sorted(runs, key=lambda run: depth(run.path))


def _root(run: Run) -> tuple[str, Path]:
    """Return the name and the path of the model that a run started from."""
    start = trained_from(run)
    if start is None:
        return "no model", Path()
    if start.value.startswith("builtin:") or is_hub_id(start.value):
        return start.value, Path(start.value)
    here = Path.cwd().resolve()
    inside = start.path.is_relative_to(here)
    name = str(start.path.relative_to(here) if inside else start.path)
    return name if start.path.exists() else f"{name} (gone)", start.path


def _label(folder: Path, run: Run, dependencies: Sequence[Dependency]) -> Text:
    """Return a run's name, method and status, and the other runs that it used."""
    method = str(run.read_metadata()["method"])
    parts = [method, run.status()]
    parts += [
        f"{each.setting} {name_in(folder, each.parent)}" + (" (replaced since)" * each.is_replaced)
        for each in dependencies
        if each.setting != MODEL or each.is_replaced
    ]
    return Text.assemble((name_in(folder, run), "bold"), "  ", ", ".join(parts))

"""Which run was trained from which: the paths in a run's settings that are in another run's folder.

A run that started before its input is not trained from it: the input was replaced since.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.runs.run_folder import Run
from upbring.settings.input_references import split_weight
from upbring.settings.parse_yaml import ListNode, Node, Scalar, Section, read_yaml

OWN_SETTINGS = frozenset({"name", "runs"})  # where the run itself is
MODEL = "model"


@dataclass(frozen=True)
class RunInput:
    """A value in a run's settings that may name a file or a folder."""

    setting: str
    value: str  # as it was given, without a weight
    path: Path  # absolute; it need not exist


@dataclass(frozen=True)
class Dependency:
    """One run that is an input of another."""

    run: Run
    setting: str
    parent: Run
    path: Path  # in the parent's folder
    is_replaced: bool  # the parent started after the run, so it is not what was read


def read_inputs(run: Run) -> Iterator[RunInput]:
    """Yield what a run's settings name, relative to where the run was started."""
    if not run.settings_file.is_file():
        return
    directory = run.start_directory() or Path.cwd()
    root = read_yaml(run.settings_file)
    sections = root.entries.values() if isinstance(root, Section) else ()
    for section in sections:
        entries = section.value.entries if isinstance(section.value, Section) else {}
        for name, entry in entries.items():
            for text in _texts(entry.value) if name not in OWN_SETTINGS else ():
                value = split_weight(name, text)[0]
                yield RunInput(name, value, (directory / Path(value).expanduser()).resolve())


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar) and not node.is_null:
        yield node.text
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _texts(item)


def find_dependencies(runs: Sequence[Run]) -> list[Dependency]:
    """Return the dependencies between runs, in the order of the runs and their settings."""
    folders = {run.path.resolve(): run for run in runs}
    started = {run.path: str(run.read_metadata()["started_at"]) for run in runs}
    found = []
    for run in runs:
        for each in read_inputs(run):
            candidates = (folders.get(path) for path in (each.path, *each.path.parents))
            parent = next(filter(None, candidates), None)
            if parent is not None and parent != run:
                is_replaced = started[parent.path] > started[run.path]
                found.append(Dependency(run, each.setting, parent, each.path, is_replaced))
    return found


def trained_from(run: Run) -> RunInput | None:
    """Return the model that a run started from."""
    return next((each for each in read_inputs(run) if each.setting == MODEL), None)

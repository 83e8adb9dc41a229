"""Task files of lm-evaluation-harness: which of them would run Python code.

A YAML tag such as `!function` makes the harness import a module beside the file. Tags are found
without constructing anything, in a file and in the files that it includes.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from upbring.errors import InputError, format_value


def reject_task_code(path: Path) -> None:
    """Raise an InputError if a task file, or one that it includes, asks to run code."""
    pending, seen = [path], set[Path]()
    while pending:
        file = pending.pop()
        if file.resolve() in seen:
            continue
        seen.add(file.resolve())
        for node in _nodes(_compose(file)):
            if node.tag.startswith("!"):
                raise InputError(
                    f"{file}:{node.start_mark.line + 1}: the tag {format_value(node.tag)} runs "
                    "Python code; read the code, then allow it with --allow-task-code"
                )
            pending += [file.parent / name for name in _included(node)]


def _compose(file: Path) -> yaml.Node | None:
    try:
        return yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: cannot be read as YAML ({reason}); correct the file") from error


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Yield all nodes once, although aliases may repeat them."""
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            pending.extend(part for pair in node.value for part in pair)


def _included(node: yaml.Node) -> Iterator[str]:
    """Yield the files that a mapping includes."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == "include":
            yield from (each.value for each in _nodes(value) if isinstance(each.value, str))

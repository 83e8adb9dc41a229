"""Parses YAML to nodes with line numbers. Scalars stay text; the setting's type converts them.

Not supported, each with an error message: tags, merge keys, several documents, keys that are not
scalars, aliases that expand without bound. No Python object is ever constructed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from upbring.errors import InputError, format_value

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 20_000


@dataclass(frozen=True)
class Scalar:
    """A single value as written; plain means without quotes."""

    line: int
    text: str
    is_plain: bool

    @property
    def is_null(self) -> bool:
        """Whether it is one of the spellings of null."""
        return self.is_plain and self.text in {"", "~", "null", "Null", "NULL"}

    @property
    def is_boolean(self) -> bool:
        """Whether it is true or false; yes, no, on and off are text."""
        return self.is_plain and self.text in {"true", "false"}


@dataclass(frozen=True)
class ListNode:
    """A list."""

    line: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True)
class Entry:
    """A value and the line of its key."""

    line: int
    value: "Node"


@dataclass(frozen=True)
class Section:
    """A mapping with unique text keys."""

    line: int
    entries: dict[str, Entry]


Node = Scalar | ListNode | Section


def read_yaml(
    path: Path, *, max_bytes: int = MAX_BYTES, max_nodes: int = MAX_NODES, kind: str = "settings"
) -> Node:
    """Return the document of a YAML file; an error names the file and the line.

    A larger file than settings need is parsed by libyaml, ten times as fast, if it is there.
    """
    text = _read_text(path, max_bytes, kind)
    is_large = max_bytes > MAX_BYTES and yaml.__with_libyaml__
    loader = _make_fast_loader(text) if is_large else _Loader(text)
    try:
        root = loader.get_single_node()
    except _UnsupportedYamlError as error:
        raise InputError(f"{path}:{error.line}: {error}") from None
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_error_message(path, error)) from None
    finally:
        loader.dispose()
    if root is None:
        raise InputError(f"{path}: the file is empty; write a mapping such as `sft:`")
    converter = _NodeConverter(path, max_nodes)
    node = converter.convert(root, path="", depth=0)
    if converter.problems:
        raise InputError("\n".join(converter.problems))
    return node


def _read_text(path: Path, max_bytes: int, kind: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path}: cannot be read: {reason}; give a {kind} file") from None
    if len(data) > max_bytes:
        raise InputError(
            f"{path}: larger than {max_bytes:,} bytes; give a {kind} file, not a data file"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise InputError(f"{path}:{line}: {problem}; save the file as UTF-8") from None
    _reject_unprintable(text, path)
    return text


def _reject_unprintable(text: str, path: Path) -> None:
    unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if unprintable is not None:
        line = text.count("\n", 0, unprintable.start()) + 1
        problem = f"character U+{ord(unprintable.group()):04X} is not allowed in YAML"
        raise InputError(f"{path}:{line}: {problem}; delete it")


def _syntax_error_message(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    location = f"{path}:{mark.line + 1}" if mark else str(path)
    problem = error.problem or "unfinished"
    if "'\\t'" in problem:
        return f"{location}: a tab where YAML needs spaces; indent and separate with spaces"
    if "expected a single document" in f"{error.context} {problem}":
        return f"{location}: a second document begins; keep one and delete `---`"
    return f"{location}: not valid YAML: {problem}; check colons, quotes and indentation here"


class _UnsupportedYamlError(Exception):
    """Valid YAML that settings do not support; the message has what was found and what to do."""

    def __init__(self, message: str, event: yaml.Event) -> None:
        super().__init__(message)
        self.line = event.start_mark.line + 1 if event.start_mark else 1


class _PlainComposer(Composer):
    """Composes nodes without resolving implicit types or tags."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; raises for a tag or too deep nesting."""
        event: yaml.Event = cast("Any", self).peek_event()  # of the parser beside this class
        tag = getattr(event, "tag", None)
        if tag is not None:
            name = str(tag).replace("tag:yaml.org,2002:", "!!")
            raise _UnsupportedYamlError(
                f"the tag {format_value(name)}: settings take no tags; delete it", event
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _UnsupportedYamlError(
                f"nested deeper than {MAX_DEPTH}; write the settings without nesting", event
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Loader(_PlainComposer, yaml.SafeLoader):
    """Parses in Python."""


def _make_fast_loader(text: str) -> yaml.SafeLoader:
    """Return a loader whose events come from libyaml."""
    from yaml._yaml import CParser  # noqa: PLC0415 -- only where libyaml is there

    class FastLoader(_PlainComposer, CParser, SafeConstructor, Resolver):
        """Parses in C, composes in Python."""

        def __init__(self) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

        def dispose(self) -> None:
            """Nothing is held."""

    return cast("yaml.SafeLoader", FastLoader())


class _NodeConverter:
    """Converts YAML nodes to ours, limits the expansion of aliases and collects bad keys."""

    def __init__(self, path: Path, max_nodes: int) -> None:
        self.path, self.max_nodes = path, max_nodes
        self.problems: list[str] = []
        self._num_nodes = 0

    def convert(self, node: yaml.Node, *, path: str, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._num_nodes += 1
        if self._num_nodes > self.max_nodes or depth > MAX_DEPTH:
            problem = "aliases (*) expand without bound"
            raise InputError(f"{self.path}:{line}: {problem}; write the values out")
        if isinstance(node, yaml.ScalarNode):
            return Scalar(line, str(node.value), is_plain=node.style is None)
        if isinstance(node, yaml.SequenceNode):
            items = (self.convert(item, path=path, depth=depth + 1) for item in node.value)
            return ListNode(line, tuple(items))
        return self._convert_mapping(node, line=line, path=path, depth=depth)

    def _convert_mapping(self, node: yaml.Node, *, line: int, path: str, depth: int) -> Section:
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            key_line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(f"{self.path}:{key_line}: a key is a {key.id}; give a name")
                continue
            name = f"{path}.{key.value}".lstrip(".")
            if key.value in entries:
                first_line = entries[key.value].line
                problem = f"given twice, first on line {first_line}"
                self.problems.append(f"{self.path}:{key_line}: {name}: {problem}; delete one")
                continue
            entries[key.value] = Entry(key_line, self.convert(value, path=name, depth=depth + 1))
        return Section(line, entries)

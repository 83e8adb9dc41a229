"""Default, file, flag: where each value comes from, the last one winning; and back to YAML.

All problems are found before one error tells them, a line each. Paths are taken as they are given,
relative to the current directory, whether they come from a file or a flag.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from upbring.errors import InputError, nearest, shown
from upbring.settings.command_table import imported, verbs
from upbring.settings.schema import Settings, declared
from upbring.settings.values import from_flag, from_node
from upbring.settings.yaml_nodes import Entry, Scalar, Section, read_yaml

S = TypeVar("S", bound=Settings)
S_co = TypeVar("S_co", bound=Settings, covariant=True)
OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


@dataclass(frozen=True)
class Resolved(Generic[S_co]):
    """Settings and the origin of each: `default`, `flag`, or file and line."""

    settings: S_co
    origins: dict[str, str]


@dataclass(frozen=True)
class _Given:
    """A value that was given, where, and how an error names the place."""

    value: object
    origin: str
    where: str


def resolve(
    kind: type[S], *, section: str, file: Path | None = None, flags: Mapping[str, object]
) -> Resolved[S]:
    """Return the settings of `section`: defaults, then the file's, then the flags'."""
    gathering = _Gathering(kind, section=section)
    if file is not None:
        gathering.read(file)
    for name, value in flags.items():
        gathering.take_flag(name, value)
    settings = gathering.settle()
    if settings is None or gathering.problems:
        raise InputError("\n".join(sorted(gathering.problems, key=_line)))
    given = gathering.given
    origins = {name: given[name].origin if name in given else "default" for name in declared(kind)}
    return Resolved(settings, origins)


def resolve_section(
    kind: type[S],
    entry: Entry,
    *,
    section: str,
    verb: str,
    file: Path,
    before: Mapping[str, object],
    problems: list[str],
) -> Resolved[S] | None:
    """Return the settings under one key of a file that is read by somebody else.

    What stands in the file goes before the values of `before`; what is wrong is added to
    `problems`, and then there may be no settings.
    """
    gathering = _Gathering(kind, section=section, verb=verb)
    for name, value in before.items():
        gathering.take_flag(name, value)
    gathering.take_section(entry, file=file)
    settings = gathering.settle()
    problems += gathering.problems
    if settings is None or gathering.problems:
        return None
    given = gathering.given
    origins = {name: given[name].origin if name in given else "default" for name in declared(kind)}
    return Resolved(settings, origins)


class _Gathering(Generic[S]):
    """Values and problems of one section, source by source."""

    def __init__(self, kind: type[S], *, section: str, verb: str | None = None) -> None:
        self.kind = kind
        self.section = section
        self.verb = verb or section
        self.settings = declared(kind)
        self.given: dict[str, _Given] = {}
        self.unread: set[str] = set()
        self.problems: list[str] = []

    def read(self, file: Path) -> None:
        """Take this section's values from a file; sections of other verbs are only checked."""
        root = read_yaml(file)
        kinds = {name: verb.settings for name, verb in verbs().items()}
        if not isinstance(root, Section):
            found = "text" if isinstance(root, Scalar) else "a list"
            raise InputError(f"{file}:{root.line}: {found}; write a mapping: `{self.section}:`")
        for name, entry in root.entries.items():
            where = f"{file}:{entry.line}: {name}"
            if name == self.section:
                self.take_section(entry, file=file)
            elif name in kinds:
                other = _Gathering(imported(kinds[name]), section=name)
                other.take_section(entry, file=file)
                other.settle(is_whole=False)
                self.problems += other.problems
            elif name.replace("-", "_") in self.settings:
                self.problems.append(f"{where}: not within a verb; put it under `{self.section}:`")
            else:
                self.problems.append(
                    f"{where}: no such verb; {_meant(name, {*kinds, self.section})}"
                )
        if self.section not in root.entries and not self.problems:
            there = ", ".join(root.entries) or "nothing"
            found = f"no section `{self.section}:`, only {there}"
            raise InputError(f"{file}: {found}; write the settings under `{self.section}:`")

    def take_section(self, entry: Entry, *, file: Path) -> None:
        """Take the settings under one verb's name."""
        node = entry.value
        if isinstance(node, Scalar) and node.is_null:
            return
        if not isinstance(node, Section):
            found = "text" if isinstance(node, Scalar) else "a list"
            where = f"{file}:{node.line}: {self.section}"
            self.problems.append(f"{where}: {found}; give a mapping of settings")
            return
        for name, inner in node.entries.items():
            self._take_entry(name, inner, file=file)

    def _take_entry(self, name: str, entry: Entry, *, file: Path) -> None:
        origin = f"{file}:{entry.line}"
        where = f"{origin}: {self.section}.{name}"
        if name not in self.settings:
            meant = _meant(name, self.settings, before=f"{self.section}.", verb=self.verb)
            self.problems.append(f"{where}: no such setting; {meant}")
            return
        try:
            value = from_node(self.settings[name], entry.value)
        except ValueError as error:
            self.unread.add(name)
            self.problems.append(f"{where}: {error}")
        else:
            self.given[name] = _Given(value, origin, where)

    def take_flag(self, name: str, value: object) -> None:
        """Take the value of one flag."""
        if name not in self.settings:
            flags = [setting.flag for setting in self.settings.values()]
            flag = "--" + name.replace("_", "-")
            self.problems.append(f"{flag}: no such flag; {_meant(flag, flags, verb=self.verb)}")
            return
        setting = self.settings[name]
        self.unread.discard(name)
        try:
            self.given[name] = _Given(from_flag(setting, value), "flag", setting.flag)
        except ValueError as error:
            self.unread.add(name)
            self.problems.append(f"{setting.flag}: {error}")

    def settle(self, *, is_whole: bool = True) -> S | None:
        """Return the settings, or None when pydantic finds problems; they are noted."""
        try:
            return self.kind.model_validate({name: g.value for name, g in self.given.items()})
        except ValidationError as error:
            for detail in error.errors():
                is_missing = detail["type"] == "missing"
                if is_missing and (not is_whole or str(detail["loc"][0]) in self.unread):
                    continue
                self.problems.append(self._problem(detail))
        return None

    def _problem(self, detail: ErrorDetails) -> str:
        """Return in our words what pydantic found."""
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name not in self.settings:
            return f"{self.section}: {detail['msg'].removeprefix('Value error, ')}"
        setting = self.settings[name]
        if detail["type"] == "missing":
            give = f"give {setting.flag}, or {name}: under {self.section}: in the settings file"
            return f"{setting.flag}: required and not given; {give}"
        where = self.given[name].where if name in self.given else setting.flag
        if detail["type"] in OUT_OF_RANGE:
            return f"{where}: {shown(detail['input'])} is out of range; give {setting.wanted}"
        if detail["type"] == "too_short":
            return f"{where}: empty; give {setting.wanted}"
        if detail["type"] == "value_error":
            return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
        return f"{where}: {shown(detail['input'])} is not {setting.wanted}; give {setting.wanted}"


def _line(problem: str) -> tuple[int, ...]:
    """Return where a problem stands in the file; those of flags stand behind it."""
    found = re.search(r":(\d+): ", problem)
    return (0, int(found[1])) if found and not problem.startswith("--") else (1,)


def _meant(name: str, allowed: Iterable[str], *, before: str = "", verb: str = "") -> str:
    """Return the nearest spelling as a question, or where all spellings are told."""
    found = nearest(name, allowed)
    told = " ".join(filter(None, ("upbring", verb, "--help")))
    return f"did you mean {before}{found}?" if found else f"see `{told}` for all"

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

from upbring.errors import InputError, format_value, nearest
from upbring.settings.command_table import commands, import_object
from upbring.settings.schema import Settings, setting_specs
from upbring.settings.values import parse_flag, parse_node
from upbring.settings.yaml_nodes import Entry, Scalar, Section, read_yaml

S = TypeVar("S", bound=Settings)
S_co = TypeVar("S_co", bound=Settings, covariant=True)
RANGE_ERROR_TYPES = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


@dataclass(frozen=True)
class Resolved(Generic[S_co]):
    """Settings and the origin of each: `default`, `flag`, or file and line."""

    settings: S_co
    origins: dict[str, str]


@dataclass(frozen=True)
class _GivenValue:
    """A value that was given, where, and how an error names the place."""

    value: object
    origin: str
    location: str


def resolve(
    settings_class: type[S], *, section: str, file: Path | None = None, flags: Mapping[str, object]
) -> Resolved[S]:
    """Return the settings of `section`: defaults, then the file's, then the flags'."""
    resolver = _SectionResolver(settings_class, section=section)
    if file is not None:
        resolver.read_file(file)
    for name, value in flags.items():
        resolver.add_flag(name, value)
    settings = resolver.validate()
    if settings is None or resolver.problems:
        raise InputError("\n".join(sorted(resolver.problems, key=_problem_sort_key)))
    given = resolver.given
    origins = {
        name: given[name].origin if name in given else "default"
        for name in setting_specs(settings_class)
    }
    return Resolved(settings, origins)


def resolve_section(
    settings_class: type[S],
    entry: Entry,
    *,
    section: str,
    command: str,
    file: Path,
    defaults: Mapping[str, object],
    problems: list[str],
) -> Resolved[S] | None:
    """Return the settings under one key of a file that is read by somebody else.

    What stands in the file goes before the values of `before`; what is wrong is added to
    `problems`, and then there may be no settings.
    """
    resolver = _SectionResolver(settings_class, section=section, command=command)
    for name, value in defaults.items():
        resolver.add_flag(name, value)
    resolver.add_section(entry, file=file)
    settings = resolver.validate()
    problems += resolver.problems
    if settings is None or resolver.problems:
        return None
    given = resolver.given
    origins = {
        name: given[name].origin if name in given else "default"
        for name in setting_specs(settings_class)
    }
    return Resolved(settings, origins)


class _SectionResolver(Generic[S]):
    """Values and problems of one section, source by source."""

    def __init__(
        self, settings_class: type[S], *, section: str, command: str | None = None
    ) -> None:
        self.kind = settings_class
        self.section = section
        self.command = command or section
        self.specs = setting_specs(settings_class)
        self.given: dict[str, _GivenValue] = {}
        self.unparsable: set[str] = set()
        self.problems: list[str] = []

    def read_file(self, file: Path) -> None:
        """Take this section's values from a file; sections of other commands are only checked."""
        root = read_yaml(file)
        settings_paths = {name: command.settings for name, command in commands().items()}
        if not isinstance(root, Section):
            problem = "text" if isinstance(root, Scalar) else "a list"
            raise InputError(f"{file}:{root.line}: {problem}; write a mapping: `{self.section}:`")
        for name, entry in root.entries.items():
            location = f"{file}:{entry.line}: {name}"
            if name == self.section:
                self.add_section(entry, file=file)
            elif name in settings_paths:
                other_section = _SectionResolver(import_object(settings_paths[name]), section=name)
                other_section.add_section(entry, file=file)
                other_section.validate(is_complete=False)
                self.problems += other_section.problems
            elif name.replace("-", "_") in self.specs:
                self.problems.append(
                    f"{location}: not within a command; put it under `{self.section}:`"
                )
            else:
                self.problems.append(
                    f"{location}: no such command; {_suggest(name, {*settings_paths, self.section})}"
                )
        if self.section not in root.entries and not self.problems:
            present_sections = ", ".join(root.entries) or "nothing"
            problem = f"no section `{self.section}:`, only {present_sections}"
            raise InputError(f"{file}: {problem}; write the settings under `{self.section}:`")

    def add_section(self, entry: Entry, *, file: Path) -> None:
        """Take the settings under one command's name."""
        node = entry.value
        if isinstance(node, Scalar) and node.is_null:
            return
        if not isinstance(node, Section):
            node_type = "text" if isinstance(node, Scalar) else "a list"
            location = f"{file}:{node.line}: {self.section}"
            self.problems.append(f"{location}: {node_type}; give a mapping of settings")
            return
        for name, setting_entry in node.entries.items():
            self._add_entry(name, setting_entry, file=file)

    def _add_entry(self, name: str, entry: Entry, *, file: Path) -> None:
        origin = f"{file}:{entry.line}"
        location = f"{origin}: {self.section}.{name}"
        if name not in self.specs:
            suggestion = _suggest(name, self.specs, prefix=f"{self.section}.", command=self.command)
            self.problems.append(f"{location}: no such setting; {suggestion}")
            return
        try:
            value = parse_node(self.specs[name], entry.value)
        except ValueError as error:
            self.unparsable.add(name)
            self.problems.append(f"{location}: {error}")
        else:
            self.given[name] = _GivenValue(value, origin, location)

    def add_flag(self, name: str, value: object) -> None:
        """Take the value of one flag."""
        if name not in self.specs:
            flags = [setting.flag for setting in self.specs.values()]
            flag = "--" + name.replace("_", "-")
            self.problems.append(
                f"{flag}: no such flag; {_suggest(flag, flags, command=self.command)}"
            )
            return
        setting = self.specs[name]
        self.unparsable.discard(name)
        try:
            self.given[name] = _GivenValue(parse_flag(setting, value), "flag", setting.flag)
        except ValueError as error:
            self.unparsable.add(name)
            self.problems.append(f"{setting.flag}: {error}")

    def validate(self, *, is_complete: bool = True) -> S | None:
        """Return the settings, or None when pydantic finds problems; they are noted."""
        try:
            return self.kind.model_validate({name: g.value for name, g in self.given.items()})
        except ValidationError as error:
            for detail in error.errors():
                is_missing = detail["type"] == "missing"
                if is_missing and (not is_complete or str(detail["loc"][0]) in self.unparsable):
                    continue
                self.problems.append(self._describe_error(detail))
        return None

    def _describe_error(self, detail: ErrorDetails) -> str:
        """Return in our words what pydantic found."""
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name not in self.specs:
            return f"{self.section}: {detail['msg'].removeprefix('Value error, ')}"
        setting = self.specs[name]
        if detail["type"] == "missing":
            advice = f"give {setting.flag}, or {name}: under {self.section}: in the settings file"
            return f"{setting.flag}: required and not given; {advice}"
        location = self.given[name].location if name in self.given else setting.flag
        if detail["type"] in RANGE_ERROR_TYPES:
            return f"{location}: {format_value(detail['input'])} is out of range; give {setting.expected}"
        if detail["type"] == "too_short":
            return f"{location}: empty; give {setting.expected}"
        if detail["type"] == "value_error":
            return f"{location}: {detail['msg'].removeprefix('Value error, ')}"
        return f"{location}: {format_value(detail['input'])} is not {setting.expected}; give {setting.expected}"


def _problem_sort_key(problem: str) -> tuple[int, ...]:
    """Return where a problem stands in the file; those of flags stand behind it."""
    line_match = re.search(r":(\d+): ", problem)
    return (0, int(line_match[1])) if line_match and not problem.startswith("--") else (1,)


def _suggest(name: str, allowed: Iterable[str], *, prefix: str = "", command: str = "") -> str:
    """Return the nearest spelling as a question, or where all spellings are told."""
    suggestion = nearest(name, allowed)
    help_command = " ".join(filter(None, ("upbring", command, "--help")))
    return f"did you mean {prefix}{suggestion}?" if suggestion else f"see `{help_command}` for all"

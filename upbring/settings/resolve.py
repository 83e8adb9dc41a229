"""Default, file, flag: where each value comes from, the last one winning; and back to YAML.

All problems are found before one error tells them, a line each. Paths are taken as they are given,
relative to the current directory, whether they come from a file or a flag.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from upbring.errors import InputError, format_value, nearest
from upbring.settings.aliases import Alias, find_alias, nearest_setting, render_names
from upbring.settings.parse_yaml import Entry, ListNode, Scalar, Section, read_yaml
from upbring.settings.schema import Settings, SettingSpec, flag_of, setting_specs
from upbring.settings.values import parse_flag, parse_node

S = TypeVar("S", bound=Settings)
S_co = TypeVar("S_co", bound=Settings, covariant=True)
V = TypeVar("V")
Parse = Callable[[SettingSpec, V], object]
SectionSettings = Mapping[str, Callable[[], type[Settings]]]  # of commands, by name
RANGE_ERROR_TYPES = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


@dataclass(frozen=True)
class Resolved(Generic[S_co]):
    """Settings and the origin of each: `default`, `flag`, or file and line."""

    settings: S_co
    origins: dict[str, str]


@dataclass(frozen=True)
class CallStyle:
    """How values are given besides a file, for messages: as flags, or as a function's arguments."""

    origin: str  # the origin of such a value in `settings.yaml`
    hint: str  # where all settings are listed
    positional: str = ""  # the setting that is given without its flag
    metavar: str = ""  # its placeholder in help
    example: str = ""  # a call that gives it

    def show(self, name: str, value: str | None = None) -> str:
        """Return a setting, and perhaps its value, as the user would write it.

        >>> CallStyle("flag", "").show("max_length"), CallStyle("argument", "").show("max_length")
        ('--max-length', 'max_length')
        >>> [CallStyle(each, "").show("tune", "full") for each in ("flag", "argument", "file")]
        ['--tune full', 'tune="full"', 'tune: full']
        """
        if self.origin == "flag":
            return flag_of(name) if value is None else f"{flag_of(name)} {value}"
        if value is None:
            return name
        return f'{name}="{value}"' if self.origin == "argument" else f"{name}: {value}"


FILE_STYLE = CallStyle("file", "")


@dataclass(frozen=True)
class _GivenValue:
    """A value that was given, where, and how an error names the place."""

    value: object
    origin: str
    location: str


def resolve(
    settings_class: type[S],
    *,
    section: str,
    file: Path | None = None,
    flags: Mapping[str, object],
    other_sections: SectionSettings | None = None,
    style: CallStyle | None = None,
) -> Resolved[S]:
    """Return the settings of `section`: defaults, then the file's, then the flags'.

    The file may have sections of other commands too; those are only checked. `flags` may also be
    the arguments of a function, with the `style` that messages then need.
    """
    resolver = _SectionResolver(settings_class, section=section, style=style)
    if file is not None:
        resolver.read_file(file, other_sections or {})
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

    Values of the file replace `defaults`. What is wrong is added to `problems`, and then there may
    be no settings.
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
        self,
        settings_class: type[S],
        *,
        section: str,
        command: str | None = None,
        style: CallStyle | None = None,
    ) -> None:
        self.kind = settings_class
        self.section = section
        self.style = style or CallStyle("flag", f"see `upbring {command or section} --help`")
        self.specs = setting_specs(settings_class)
        self.given: dict[str, _GivenValue] = {}
        self.unparsable: set[str] = set()
        self.problems: list[str] = []

    def read_file(self, file: Path, other_sections: SectionSettings) -> None:
        """Take this section's values from a file; sections of other commands are only checked."""
        root = read_yaml(file)
        if not isinstance(root, Section):
            problem = "text" if isinstance(root, Scalar) else "a list"
            raise InputError(f"{file}:{root.line}: {problem}; write a mapping: `{self.section}:`")
        if self._is_flat(root, other_sections):
            self.add_section(Entry(root.line, root), file=file)
            return
        for name, entry in root.entries.items():
            location = f"{file}:{entry.line}: {name}"
            if name == self.section:
                self.add_section(entry, file=file)
            elif name in other_sections:
                other_section = _SectionResolver(other_sections[name](), section=name)
                other_section.add_section(entry, file=file)
                other_section.validate(is_complete=False)
                self.problems += other_section.problems
            elif self._is_known(name):
                self.problems.append(
                    f"{location}: not within a command; put it under `{self.section}:`"
                )
            else:
                suggestion = nearest(name, {*other_sections, self.section})
                hint = (
                    f"did you mean {suggestion}?" if suggestion else "see `upbring --help` for all"
                )
                self.problems.append(f"{location}: no such command; {hint}")
        if self.section not in root.entries and not self.problems:
            present_sections = ", ".join(root.entries) or "nothing"
            problem = f"no section `{self.section}:`, only {present_sections}"
            raise InputError(f"{file}: {problem}; write the settings under `{self.section}:`")

    def _is_flat(self, root: Section, other_sections: SectionSettings) -> bool:
        """Whether a file has settings of this command and no section, as in other tools."""
        sections = {self.section, *other_sections}
        has_section = self.section in root.entries or any(
            name in sections and isinstance(entry.value, Section)
            for name, entry in root.entries.items()
        )
        values = [entry.value for entry in root.entries.values()]
        has_values_only = not any(isinstance(each, Section) for each in values)
        is_known = any(self._is_known(name) for name in root.entries)
        return not has_section and (is_known or (has_values_only and bool(values)))

    def _is_known(self, name: str) -> bool:
        return name.replace("-", "_") in self.specs or find_alias(name, self.specs) is not None

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
        if name in self.specs:
            self._parse(name, parse_node, entry.value, origin=origin, location=location)
        elif alias := find_alias(name, self.specs):
            if isinstance(entry.value, Scalar) and (
                entry.value.is_null or (alias.answer and entry.value.text == "false")
            ):
                return  # asks for nothing
            self._add_alias(alias, entry.value, parse_node, origin=origin, location=location)
        else:
            suggestion = nearest_setting(name, self.specs)
            hint = f"did you mean {self.section}.{suggestion}?" if suggestion else self.style.hint
            self.problems.append(f"{location}: no such setting; {hint}")

    def add_flag(self, name: str, value: object) -> None:
        """Take the value of one flag, or of one argument."""
        origin, location = self.style.origin, self.style.show(name)
        if name in self.specs:
            self._parse(name, parse_flag, value, origin=origin, location=location)
        elif alias := find_alias(name, self.specs):
            self._add_alias(alias, value, parse_flag, origin=origin, location=location)
        else:
            suggestion = nearest_setting(name, self.specs)
            hint = f"did you mean {self.style.show(suggestion)}?" if suggestion else self.style.hint
            self.problems.append(f"{location}: no such {origin}; {hint}")

    def _add_alias(
        self, alias: Alias, value: V, parse: Parse[V], *, origin: str, location: str
    ) -> None:
        """Take a value under another tool's name: as it is, converted, or with the answer."""
        style = self.style if origin == self.style.origin else FILE_STYLE
        if alias.answer:
            self.problems.append(f"{location}: {render_names(alias.answer, style.show)}")
            return
        if isinstance(value, tuple) and alias.values:
            self._add_alias_items(alias, value, location=location)
            return
        text = _as_text(value)
        if not (alias.values or alias.is_run_folder) or text is None:
            self._parse(alias.setting, parse, value, origin=origin, location=location)
            return
        try:
            converted = alias.convert(text)
        except ValueError as error:
            self.problems.append(f"{location}: {render_names(str(error), style.show)}")
            return
        for name, converted_text in converted.items():
            self._parse(name, parse_flag, converted_text, origin=origin, location=location)

    def _add_alias_items(self, alias: Alias, items: tuple[object, ...], *, location: str) -> None:
        """Take the values of a repeated flag; those that mean nothing here are left out."""
        converted: dict[str, list[str]] = {}
        try:
            for item in items:
                for name, text in alias.convert(str(item)).items():
                    converted.setdefault(name, []).append(text)
        except ValueError as error:
            self.problems.append(f"{location}: {render_names(str(error), self.style.show)}")
            return
        for name, texts in converted.items():
            self._parse(name, parse_flag, tuple(texts), origin=self.style.origin, location=location)

    def _parse(self, name: str, parse: Parse[V], value: V, *, origin: str, location: str) -> None:
        """Note the value of a setting, or what is wrong with it."""
        earlier = self.given.get(name)
        if earlier and origin.rpartition(":")[0] == earlier.origin.rpartition(":")[0]:
            self.problems.append(f"{location}: sets {name}, as {earlier.location} does; delete one")
            return
        self.unparsable.discard(name)
        try:
            parsed = parse(self.specs[name], value)
        except ValueError as error:
            self.unparsable.add(name)
            self.problems.append(f"{location}: {error}")
        else:
            self.given[name] = _GivenValue(parsed, origin, location)

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
        """Return the problem that pydantic found as one of our messages."""
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name not in self.specs:
            return f"{self.section}: {detail['msg'].removeprefix('Value error, ')}"
        setting, shown = self.specs[name], self.style.show(name)
        if detail["type"] == "missing":
            return self._missing_message(name)
        location = self.given[name].location if name in self.given else shown
        if detail["type"] in RANGE_ERROR_TYPES:
            found = f"{format_value(detail['input'])} is out of range"
            return f"{location}: {found}; give {setting.expected}"
        if detail["type"] in {"too_short", "string_too_short"}:
            least = detail.get("ctx", {}).get("min_length")
            is_text = detail["type"] == "string_too_short"
            fix = f"at least {least} characters" if is_text else setting.expected
            return f"{location}: {'too short' if is_text else 'empty'}; give {fix}"
        if detail["type"] == "value_error":
            return f"{location}: {detail['msg'].removeprefix('Value error, ')}"
        found = f"{format_value(detail['input'])} is not {setting.expected}"
        return f"{location}: {found}; give {setting.expected}"

    def _missing_message(self, name: str) -> str:
        """Return which required setting is missing, and how to give it."""
        if name == self.style.positional:
            example = f"for example: `{self.style.example}`"
            return f"upbring {self.section}: {self.style.metavar} is required; {example}"
        shown = self.style.show(name)
        advice = f"give {shown}"
        if self.style.origin == "flag":
            advice += f", or {name}: under {self.section}: in the settings file"
        return f"{shown}: required and not given; {advice}"


def _problem_sort_key(problem: str) -> tuple[int, ...]:
    """Return the position of a problem in the file; those of flags come after it."""
    line_match = re.search(r":(\d+): ", problem)
    return (0, int(line_match[1])) if line_match and not problem.startswith("--") else (1,)


def _as_text(value: object) -> str | None:
    """Return what was given as text, from a flag, a file or a caller; a list with commas."""
    if isinstance(value, ListNode):
        texts = [_as_text(item) for item in value.items]
        return None if None in texts else ",".join(filter(None, texts))
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None

"""Declarations of settings: each has a type, a default, a range and a help text.

The YAML key, the flag, the help text and the reference page follow from the declaration.
Excluded: parsing and checking values, which `resolve` does.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

ValueType = Literal["text", "integer", "number", "switch", "path", "choice"]

VALUE_TYPES: dict[object, ValueType] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "switch",
    Path: "path",
}
VALUE_TYPE_NOUNS: dict[ValueType, str] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "switch": "true or false",
    "path": "a path",
    "choice": "a choice",
}


class Settings(BaseModel):
    """Frozen, strictly typed values; a command combines several such classes by inheritance.

    `panel` is the heading of the class's settings in the help and the reference page; unset, it is
    the name of the class.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # help and completion need the declarations only
    )
    panel: ClassVar[str] = ""


def setting(
    default: Any = ...,  # noqa: ANN401 -- of the field's type, checked at the field
    *,
    help: str,  # noqa: A002 -- the usual name of a help text
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
) -> Any:  # noqa: ANN401 -- assigned to fields of every type
    """Return the declaration of a setting; without a default it is required."""
    return Field(default, description=help, ge=ge, gt=gt, le=le, lt=lt, min_length=min_length)


@dataclass(frozen=True)
class SettingSpec:
    """The declaration of one setting, with the texts for messages, help and reference page."""

    name: str
    value_type: ValueType
    is_list: bool
    is_optional: bool
    is_required: bool
    default: object
    help: str
    panel: str
    choices: tuple[str, ...]
    range_text: str

    @property
    def flag(self) -> str:
        """The flag of the setting."""
        return flag_of(self.name)

    @property
    def expected(self) -> str:
        """The expected value, as it follows the word "give" in a message."""
        if self.value_type == "choice":
            return _join_with_or(self.choices)
        return f"{VALUE_TYPE_NOUNS[self.value_type]} {self.range_text}".rstrip()

    @property
    def values_text(self) -> str:
        """The accepted values, for the reference page."""
        if self.value_type == "choice":
            return ", ".join(f"`{choice}`" for choice in self.choices)
        return self.expected + (", several" if self.is_list else "")

    @property
    def default_text(self) -> str:
        """The default as a user would write it."""
        if self.is_required:
            return "required"
        if self.default is None:
            return "unset"
        values = self.default if isinstance(self.default, tuple) else (self.default,)
        texts = (str(value).lower() if isinstance(value, bool) else str(value) for value in values)
        return ", ".join(texts) or "none"


def flag_of(name: str) -> str:
    """Return the flag of a setting; the name of one that Python reserves ends with an underscore.

    >>> flag_of("max_length"), flag_of("as_")
    ('--max-length', '--as')
    """
    return "--" + name.rstrip("_").replace("_", "-")


@cache
def setting_specs(settings_class: type[Settings]) -> dict[str, SettingSpec]:
    """Return the settings of `settings_class` by name, in the order of its base classes.

    A setting that a subclass declares again, with another default, keeps the panel of the class
    that declared it first.
    """
    owners = list(_declaring_classes(settings_class))
    names = [(owner, name) for owner in owners for name in vars(owner).get("__annotations__", {})]
    specs: dict[str, SettingSpec] = {}
    for owner, name in names:
        if name in settings_class.model_fields:
            specs.setdefault(
                name, _make_spec(name, settings_class.model_fields[name], panel=_panel_title(owner))
            )
    return specs


def _declaring_classes(settings_class: type[Settings]) -> Iterator[type[Settings]]:
    for base in settings_class.__bases__:
        if issubclass(base, Settings) and base is not Settings:
            yield from _declaring_classes(base)
    yield settings_class


def _panel_title(owner: type[Settings]) -> str:
    title: str = vars(owner).get("panel", "")
    return title or owner.__name__.removesuffix("Settings")


def _make_spec(name: str, field: FieldInfo, *, panel: str) -> SettingSpec:
    annotation, is_optional = _without_none(field.annotation)
    is_many = get_origin(annotation) is tuple
    if is_many:
        annotation = get_args(annotation)[0]
    is_choice = get_origin(annotation) is Literal
    assert is_choice or annotation in VALUE_TYPES, (
        f"{name}: the type {annotation} is not supported; use one of VALUE_TYPES or a Literal"
    )
    return SettingSpec(
        name=name,
        value_type="choice" if is_choice else VALUE_TYPES[annotation],
        is_list=is_many,
        is_optional=is_optional,
        is_required=field.is_required(),
        default=None if field.is_required() else field.default,
        help=field.description or "",
        panel=panel,
        choices=tuple(str(choice) for choice in get_args(annotation)) if is_choice else (),
        range_text=_range_text(field),
    )


def _without_none(annotation: object) -> tuple[object, bool]:
    if get_origin(annotation) not in (types.UnionType, Union):
        return annotation, False
    rest = [part for part in get_args(annotation) if part is not type(None)]
    assert len(rest) == 1, f"a setting has one type, but got {annotation}"
    return rest[0], True


def _range_text(field: FieldInfo) -> str:
    bounds: dict[str, float] = {}
    for part in field.metadata:
        for key in ("ge", "gt", "le", "lt"):
            if getattr(part, key, None) is not None:
                bounds[key] = getattr(part, key)
    if set(bounds) == {"ge", "le"}:
        return f"from {bounds['ge']:g} to {bounds['le']:g}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{word} {bounds[key]:g}" for key, word in words.items() if key in bounds)


def _join_with_or(choices: tuple[str, ...]) -> str:
    return " or ".join((", ".join(choices[:-1]), choices[-1])) if choices[1:] else choices[0]

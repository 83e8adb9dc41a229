"""Parsing of YAML nodes and flags to values of a setting's type.

`1e-5` is a number; `no` is text, not a boolean. A `ValueError` contains what was found and what to
do; the caller adds where. Excluded: ranges, which pydantic checks.
"""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from upbring.errors import format_value, nearest
from upbring.settings.alias_table import VALUE_NAMES
from upbring.settings.parse_yaml import ListNode, Node, Scalar, Section
from upbring.settings.schema import VALUE_TYPE_NOUNS, SettingSpec

NUMBER_PATTERN = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MAX_DIGITS = 18


def parse_node(setting: SettingSpec, node: Node) -> object:
    """Return the value of a YAML node; a single value is accepted for a list."""
    if isinstance(node, Section):
        raise ValueError(f"a mapping; give {setting.expected}")  # noqa: TRY004 -- a user error
    if isinstance(node, ListNode):
        if not setting.is_list:
            raise ValueError(f"a list; give a single value: {setting.expected}")
        return tuple(_parse_item(setting, item) for item in node.items)
    if node.is_null:
        if setting.is_optional:
            return None
        raise ValueError(f"no value; give {setting.expected}, or delete the line")
    value = _parse_scalar(setting, node)
    return (value,) if setting.is_list else value


def parse_flag(setting: SettingSpec, value: object) -> object:
    """Return the parsed text of a flag; a value that is not text is returned unchanged."""
    if not setting.is_list:
        return parse_text(setting, value) if isinstance(value, str) else value
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(parse_text(setting, item) if isinstance(item, str) else item for item in items)


def parse_text(setting: SettingSpec, text: str) -> object:
    """Return the value of `text` for this setting.

    >>> from upbring.settings.training import TrainSettings
    >>> from upbring.settings.schema import setting_specs
    >>> parse_text(setting_specs(TrainSettings)["learning_rate"], "1e-5")
    1e-05
    """
    text = VALUE_NAMES.get(setting.name, {}).get(text.lower(), text)
    match setting.value_type:
        case "integer":
            return _parse_integer(setting, text)
        case "number":
            return _parse_number(setting, text)
        case "switch":
            return _parse_boolean(text)
        case "path":
            return _parse_path(text)
        case "choice":
            return _parse_choice(setting, text)
        case "text":
            return text


def _parse_item(setting: SettingSpec, node: Node) -> object:
    if not isinstance(node, Scalar):
        found = "a mapping in a list" if isinstance(node, Section) else "a list inside a list"
        raise ValueError(  # noqa: TRY004 -- a user error
            f"{found}; give {VALUE_TYPE_NOUNS[setting.value_type]} for each item"
        )
    if node.is_null:
        raise ValueError(
            f"an item without a value; give {VALUE_TYPE_NOUNS[setting.value_type]}, or delete it"
        )
    return _parse_scalar(setting, node)


def _parse_scalar(setting: SettingSpec, node: Scalar) -> object:
    if setting.value_type == "switch" and not node.is_plain:
        raise ValueError(f"the text {format_value(node.text)}; write true or false without quotes")
    if setting.value_type in {"text", "path"} and node.is_boolean:
        raise ValueError(
            f"{node.text} is a boolean; give {setting.expected}, or write it in quotes"
        )
    return parse_text(setting, node.text)


def _parse_number(setting: SettingSpec, text: str) -> float:
    if not NUMBER_PATTERN.fullmatch(text.strip()):
        raise ValueError(f"{format_value(text)} is not a number; give {setting.expected}")
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{format_value(text)} is too large; give {setting.expected}")
    return value


def _parse_integer(setting: SettingSpec, text: str) -> int:
    if not NUMBER_PATTERN.fullmatch(text.strip()):
        raise ValueError(f"{format_value(text)} is not a whole number; give {setting.expected}")
    value = Decimal(text.strip())
    if value and not -MAX_DIGITS <= value.adjusted() <= MAX_DIGITS:
        raise ValueError(f"{format_value(text)} is out of range; give {setting.expected}")
    if value != value.to_integral_value():
        raise ValueError(f"{format_value(text)} is not a whole number; give {setting.expected}")
    return int(value)


def _parse_boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"{format_value(text)} is not a boolean; write true or false")
    return text == "true"


def _parse_path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"{format_value(text)} is not a path; give a path, such as ./data")
    return Path(text)


def _parse_choice(setting: SettingSpec, text: str) -> str:
    if text in setting.choices:
        return text
    suggestion = nearest(text, setting.choices)
    hint = f"did you mean {suggestion}?" if suggestion else "choose one"
    raise ValueError(f"{format_value(text)} is not {setting.expected}; {hint}")

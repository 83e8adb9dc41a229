"""What was written, as a value of the setting's type: `1e-5` is a number, `no` is no boolean.

A `ValueError` says what was found and what to do; the caller knows where. Ranges are pydantic's.
"""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from upbring.errors import nearest, shown
from upbring.settings.schema import NOUNS, Declared
from upbring.settings.yaml_nodes import Listing, Node, Scalar, Section

NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MAX_DIGITS = 18


def from_node(setting: Declared, node: Node) -> object:
    """Return the value of a YAML node; one value stands for a list of one."""
    if isinstance(node, Section):
        raise ValueError(f"a mapping; give {setting.wanted}")  # noqa: TRY004 -- of the user's
    if isinstance(node, Listing):
        if not setting.is_many:
            raise ValueError(f"a list; give {setting.wanted}, alone")
        return tuple(_from_item(setting, item) for item in node.items)
    if node.is_null:
        if setting.is_optional:
            return None
        raise ValueError(f"no value; give {setting.wanted}, or delete the line")
    value = _from_scalar(setting, node)
    return (value,) if setting.is_many else value


def from_flag(setting: Declared, value: object) -> object:
    """Return the value of a flag's text, or a caller's own value of the right type as it is."""
    if not setting.is_many:
        return from_text(setting, value) if isinstance(value, str) else value
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(from_text(setting, item) if isinstance(item, str) else item for item in items)


def from_text(setting: Declared, text: str) -> object:
    """Return what `text` means for a setting of this shape.

    >>> from upbring.settings.training import TrainSettings
    >>> from upbring.settings.schema import declared
    >>> from_text(declared(TrainSettings)["learning_rate"], "1e-5")
    1e-05
    """
    match setting.shape:
        case "integer":
            return _integer(setting, text)
        case "number":
            return _number(setting, text)
        case "switch":
            return _switch(text)
        case "path":
            return _path(text)
        case "choice":
            return _choice(setting, text)
        case "text":
            return text


def _from_item(setting: Declared, node: Node) -> object:
    if not isinstance(node, Scalar):
        raise ValueError(f"a list within the list; give {NOUNS[setting.shape]} for each item")  # noqa: TRY004 -- of the user's
    if node.is_null:
        raise ValueError(f"an item without a value; give {NOUNS[setting.shape]}, or delete it")
    return _from_scalar(setting, node)


def _from_scalar(setting: Declared, node: Scalar) -> object:
    if setting.shape == "switch" and not node.is_plain:
        raise ValueError(f"the text {shown(node.text)}; write true or false without quotes")
    if setting.shape in {"text", "path"} and node.is_switch:
        raise ValueError(f"{node.text} is a boolean; give {setting.wanted}, in quotes if meant")
    return from_text(setting, node.text)


def _number(setting: Declared, text: str) -> float:
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{shown(text)} is not a number; give {setting.wanted}")
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{shown(text)} is too large; give {setting.wanted}")
    return value


def _integer(setting: Declared, text: str) -> int:
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{shown(text)} is not a whole number; give {setting.wanted}")
    value = Decimal(text.strip())
    if value and not -MAX_DIGITS <= value.adjusted() <= MAX_DIGITS:
        raise ValueError(f"{shown(text)} is out of reach; give {setting.wanted}")
    if value != value.to_integral_value():
        raise ValueError(f"{shown(text)} is not a whole number; give {setting.wanted}")
    return int(value)


def _switch(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"{shown(text)} is not a boolean; write true or false")
    return text == "true"


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"{shown(text)} is no path; give a path, such as ./data")
    return Path(text)


def _choice(setting: Declared, text: str) -> str:
    if text in setting.choices:
        return text
    meant = nearest(text, setting.choices)
    hint = f"did you mean {meant}?" if meant else "choose one"
    raise ValueError(f"{shown(text)} is not {setting.wanted}; {hint}")

"""Resolved settings as YAML, each value with its origin: the `settings.yaml` of a run."""

import re

import yaml

from upbring.settings.resolve import Resolved, S
from upbring.settings.schema import setting_specs

ORIGINS_NOTE = "# Default < file < flag or argument. The comment after each value is its origin."
PLAIN_TEXT = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")


def format_yaml(resolved: Resolved[S], section: str) -> str:
    """Return every setting with its origin, as YAML that reads back to equal settings."""
    lines = [ORIGINS_NOTE, f"{section}:"]
    for name in setting_specs(type(resolved.settings)):
        value = _format_value(getattr(resolved.settings, name))
        origin = resolved.origins[name]
        lines.append(f"  {name}: {value}  # {origin if origin.isprintable() else ascii(origin)}")
    return "\n".join(lines) + "\n"


def _format_value(value: object) -> str:
    """Return YAML for a value; what any reader could take for another type is quoted."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(_format_value(item) for item in value) + "]"
    text = str(value)
    if isinstance(value, int):
        return text
    return _format_text(text)


def _format_text(text: str) -> str:
    if PLAIN_TEXT.fullmatch(text) and isinstance(yaml.safe_load(text), str):
        return text
    quoted = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=True)
    return str(quoted).rstrip("\n")

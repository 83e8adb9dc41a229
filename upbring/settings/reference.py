"""Settings told: a run's resolved settings as YAML with their origins, and the reference page."""

import re
from itertools import groupby

import yaml

from upbring.settings.command_table import COMMANDS, Command, import_object
from upbring.settings.resolve import Resolved, S
from upbring.settings.schema import Settings, SettingSpec, setting_specs

PLAIN_TEXT = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")

PREFACE = """# Settings

This page is generated from the declarations in `upbring/settings/`; edit those and run `make docs`.

A setting takes the last value given: its default, then the settings file's, then the flag's. In a
settings file a command's settings stand under its name, with underscores; on the command line they
are flags, with dashes (underscores are read, too). A run keeps all of its values, each with its
origin, in `settings.yaml`.

```yaml
sft:
  model: ./base
  data: [chat.jsonl]
  learning_rate: 1e-4
```

```
upbring sft --settings recipe.yaml --learning-rate 5e-5
```

- Paths are relative to the current directory, in a settings file as on the command line.
- Only `true` and `false` are booleans; `yes`, `no`, `on` and `off` are text. As flags they are
  `--dora` and `--no-dora`.
- Numbers may be spelt `0.00001` or `1e-5`.
- A setting of several values is a YAML list, or one value; its flag may be repeated.
- `null` leaves a setting unset, where that is its default.
- An unknown name is an error, and so are a name given twice, a tag, and a wrong type.
"""


def format_yaml(resolved: Resolved[S], section: str) -> str:
    """Return every setting with its origin, as YAML that reads back to equal settings."""
    lines = [f"# Precedence: default < file < flag. Behind each value: its origin.\n{section}:"]
    for name in setting_specs(type(resolved.settings)):
        value = _format_value(getattr(resolved.settings, name))
        origin = resolved.origins[name]
        lines.append(f"  {name}: {value}  # {origin if origin.isprintable() else ascii(origin)}")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Return the page of all settings of all commands."""
    return PREFACE + "".join(_command_section(command) for command in COMMANDS)


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


def _command_section(command: Command) -> str:
    settings_class: type[Settings] = import_object(command.settings)
    lines = [f"\n## {command.name}\n", f"{command.help} `{command.example}`\n"]
    for panel, settings in groupby(
        setting_specs(settings_class).values(), key=lambda setting: setting.panel
    ):
        lines += [f"### {command.name}: {panel}\n"]
        lines += ["| setting | values | default | |", "|---|---|---|---|"]
        lines += [*(_table_row(setting) for setting in settings), ""]
    return "\n".join(lines)


def _table_row(setting: SettingSpec) -> str:
    cells = (f"`{setting.name}`", setting.values_text, setting.default_text, setting.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

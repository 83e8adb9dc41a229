"""Documentation generated from the declarations: docs/settings.md and a table of README.md.

`make docs` writes them, and a test checks that they are current.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from upbring.cli.command import Command
from upbring.cli.command_table import RECIPE_STAGES, commands
from upbring.plurals import format_count
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.aliases import aliases
from upbring.settings.answered_names import Advice
from upbring.settings.schema import SettingSpec, setting_specs
from upbring.stages.registry import methods

SETTINGS_PAGE = "docs/settings.md"
README = "README.md"
PREFACE = """# Settings

This page is generated from the declarations in `upbring/settings/` and the registry of methods;
edit those and run `make docs`.

A flag overrides the settings file, and the settings file overrides the default. In a settings file,
the settings of a command are under its name, with underscores; on the command line they are flags,
with dashes (underscores work too). A run records all its settings, each with its origin, in
`settings.yaml`.

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
- Numbers may be written `0.00001` or `1e-5`.
- A setting with several values is a YAML list, or one value; its flag may be repeated.
- `null` leaves a setting unset, if that is its default.
- An unknown name is an error, and so are a name given twice, a tag, and a wrong type.
- [Names from other tools](#names-from-other-tools) work too.
"""
ALIAS_PREFACE = """
## Names from other tools

Names that TRL, transformers, axolotl, LLaMA-Factory and OpenRLHF use, as flags and in files. Each
counts for the commands that have the setting. Other names are answered with what to use instead.
"""


def settings_page() -> str:
    """Return the page with the settings of all commands."""
    sections = [_command_section(each) for each in (*commands().values(), *RECIPE_STAGES)]
    return "".join([PREFACE, *sections, ALIAS_PREFACE, *_alias_section()])


def readme_blocks() -> dict[str, str]:
    """Return the generated tables of the README by block name."""
    method_rows = (
        (
            f"[`{each.name}`](docs/algorithms/{each.name}.md)",
            each.learns_from,
            each.makes,
            each.help,
        )
        for each in methods().values()
    )
    return {"methods": _table(("command", "learns from", "makes a", ""), method_rows)}


def replace_blocks(text: str) -> str:
    """Return a page with each generated block, between `<!-- name -->` marks, replaced."""
    for name, block in readme_blocks().items():
        pattern = rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)"
        literal = block.replace("\\", "\\\\")
        text, count = re.subn(pattern, literal, text, flags=re.DOTALL)
        assert count == 1, f"the page has {format_count(count, 'block')} {name}"
    return text


def write_pages(root: Path) -> None:
    """Write the generated documentation of a checkout."""
    (root / SETTINGS_PAGE).write_text(settings_page(), encoding="utf-8")
    readme = root / README
    readme.write_text(replace_blocks(readme.read_text(encoding="utf-8")), encoding="utf-8")


def _command_section(command: Command) -> str:
    lines = [f"\n## {command.name}\n", f"{command.help} `{command.example}`\n"]
    specs = setting_specs(command.load_settings()).values()
    for panel, panel_specs in groupby(specs, key=lambda spec: spec.panel):
        lines.append(f"### {command.name}: {panel}\n")
        lines.append(_table(("setting", "values", "default", ""), map(_setting_row, panel_specs)))
    return "\n".join(lines)


def _setting_row(spec: SettingSpec) -> tuple[str, ...]:
    return f"`{spec.name}`", spec.values_text, spec.default_text, spec.help


def _alias_section() -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for name, meanings in aliases().items():
        for setting in dict.fromkeys(each.setting for each in meanings if each.sets_something):
            rows.setdefault(setting, []).append(f"`{name}`")
    setting_rows = ((f"`{setting}`", ", ".join(names)) for setting, names in rows.items())
    yield "\n" + _table(("setting", "other names"), setting_rows)
    command_rows: dict[str, list[str]] = {}
    for name, command in COMMAND_ALIASES.items():
        if not isinstance(command, Advice):
            command_rows.setdefault(f"`{command}`", []).append(f"`{name}`")
    yield "\n" + _table(
        ("command", "other names"),
        ((name, ", ".join(names)) for name, names in command_rows.items()),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (head, *rows)]
    head_line, *row_lines = [f"| {line} |\n".replace("|  |", "| |") for line in lines]
    return head_line + "|---" * len(head) + "|\n" + "".join(row_lines)

"""The training command that `upbring plan` is given, parsed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upbring.cli.command_table import commands
from upbring.cli.flags import parse_flags
from upbring.data.read import files
from upbring.errors import InputError, nearest
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.registry import Method, load_settings, methods

RECIPE_SUFFIXES = frozenset({".yaml", ".yml"})
HELP_FLAGS = frozenset({"--help", "-h"})


@dataclass(frozen=True)
class PlannedCommand:
    """A training command and its settings."""

    method: Method
    resolved: Resolved[Any]


def planned_command(words: Sequence[str]) -> PlannedCommand | None:
    """Return the command in the arguments of `plan`; None for a recipe and for a help page."""
    if Path(words[0]).suffix in RECIPE_SUFFIXES or HELP_FLAGS & {*words}:
        return None
    method = find_planned_method(words[0])
    parsed = parse_flags(commands()[method.name], [*words[1:]])
    assert parsed is not None, "no help is asked for"
    resolved = resolve(
        load_settings(method),
        section=method.name,
        file=parsed.settings_file,
        flags=parsed.flags,
        other_sections={name: each.load_settings for name, each in commands().items()},
    )
    return PlannedCommand(method, resolved)


def find_planned_method(word: str) -> Method:
    """Return the training method that the first argument of `plan` names."""
    name = str(COMMAND_ALIASES.get(word, word)) if word not in methods() else word
    if name in methods():
        return methods()[name]
    example = "upbring plan sft chat.jsonl --model ./base"
    if Path(word).exists() or files.extension(Path(word)) in files.EXTENSIONS:
        example = f"upbring plan sft {word} --model ./base"
        problem = f"{word} is not a command"
    else:
        suggestion = nearest(name, methods())
        example = f"upbring plan {suggestion} …" if suggestion else example
        problem = f"{word} is not a training command or a recipe"
    raise InputError(f"upbring plan: {problem}; name one first: `{example}`")

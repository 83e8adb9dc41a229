"""Messages of the Python API: arguments instead of flags, calls instead of commands."""

import keyword
import re
from collections.abc import Mapping
from types import MappingProxyType

# Functions whose name is not that of the command.
FUNCTION_OF_COMMAND: Mapping[str, str] = MappingProxyType({"reward": "reward_model"})
# Commands without a function, which a message names as they are typed in a shell.
SHELL_COMMANDS = frozenset(
    {"chat", "demo", "doctor", "init", "rollouts", "runs", "toyworld", "watch"}
)
_COMMAND = re.compile(r"`upbring ([a-z]+)((?: [^`\s]+)*)`")
_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


def function_of(command: str) -> str:
    """Return the name of the function for a command."""
    return FUNCTION_OF_COMMAND.get(command, command)


def to_python(message: str) -> str:
    """Return a message with arguments instead of flags, and calls instead of commands.

    >>> to_python("stopped, saved; resume with `upbring resume runs/sft-1`")
    'stopped, saved; resume with `upbring.resume("runs/sft-1")`'
    >>> to_python("leave out --chat-template, or give --no-dora")
    'leave out chat_template, or give dora=False'
    >>> to_python("export it with --as merged")
    'export it with as_ merged'
    """
    return _FLAG.sub(_argument, _COMMAND.sub(_call, message))


def _call(match: re.Match[str]) -> str:
    command, words = match[1], match[2].split()
    if command in SHELL_COMMANDS or any(word.startswith("-") for word in words):
        return match[0]
    arguments = ", ".join(f'"{word}"' for word in words)
    return (
        f"`upbring.{function_of(command)}({arguments})`"
        if words
        else (f"`upbring.{function_of(command)}`")
    )


def _argument(match: re.Match[str]) -> str:
    name = match[2].replace("-", "_")
    name += "_" if keyword.iskeyword(name) else ""
    return f"{name}=False" if match[1] else name

"""Completion of commands, flags and choices in bash, zsh and fish: `upbring completion SHELL`.

The script is printed and never written to a shell's start-up file. It asks this program for words.
"""

import os
import sys
from collections.abc import Iterable

from upbring.errors import InputError, nearest
from upbring.settings.command_table import commands, import_object

COMPLETION_VARIABLE = "_UPBRING_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
SCRIPTS = {
    "bash": f"""_upbring() {{
  local IFS=$'\\n'
  COMPREPLY=($({COMPLETION_VARIABLE}=1 upbring "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null))
}}
complete -o default -F _upbring upbring
""",
    "zsh": f"""#compdef upbring
_upbring() {{
  local -a found
  found=("${{(@f)$({COMPLETION_VARIABLE}=1 upbring "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if [[ -n "${{found[1]}}" ]]; then compadd -- "${{found[@]}}"; else _files; fi
}}
compdef _upbring upbring
""",
    "fish": f"""function __upbring
  set -l typed (commandline -opc)[2..-1] (commandline -ct)
  {COMPLETION_VARIABLE}=1 upbring $typed 2>/dev/null
end
complete -c upbring -a '(__upbring)'
""",
}


def is_completion_request() -> bool:
    """Whether a shell asks for words instead of a run."""
    return os.environ.get(COMPLETION_VARIABLE) == "1"


def print_words(typed: list[str]) -> None:
    """Print what may stand in place of the last word typed, a line each."""
    sys.stdout.write("".join(f"{word}\n" for word in complete_words(typed)))


def print_script(args: list[str]) -> None:
    """Print the script of one shell."""
    usage_hint = f"give one of {', '.join(SHELLS)}, as in `upbring completion bash`"
    if len(args) != 1:
        raise InputError(f"upbring completion: {len(args)} words; {usage_hint}")
    if args[0] in {"--help", "-h"}:
        sys.stdout.write(
            f"Usage: upbring completion {'|'.join(SHELLS)}\n\n"
            "Print the script that completes commands, flags and choices in this shell.\n"
            'To use it in bash, say: eval "$(upbring completion bash)"\n'
        )
        return
    if args[0] not in SHELLS:
        suggestion = nearest(args[0], SHELLS)
        hint = f"did you mean {suggestion}?" if suggestion else usage_hint
        raise InputError(f"upbring completion: no such shell {args[0]}; {hint}")
    sys.stdout.write(SCRIPTS[args[0]])


def complete_words(typed: list[str]) -> list[str]:
    """Return what may stand in place of the last of `typed`; nothing leaves it to file names.

    >>> complete_words(["exp"])
    ['export']
    >>> complete_words(["sft", "--tune", "f"])
    ['full']
    """
    typed = [word for word in typed if word != "="]  # bash splits --flag=value in three
    if not typed:
        return []
    *previous, current = typed
    if not previous:
        return _with_prefix(current, [*commands(), "completion", "--help", "--version"])
    if previous[0] == "completion":
        return _with_prefix(current, SHELLS)
    if previous[0] == "plan":
        return complete_words([*previous[1:], current])
    return _complete_command_words(previous, current) if previous[0] in commands() else []


def _complete_command_words(previous: list[str], current: str) -> list[str]:
    from upbring.settings.schema import setting_specs  # noqa: PLC0415 -- 60 ms that commands do not need

    settings = setting_specs(import_object(commands()[previous[0]].settings)).values()
    choices = {setting.flag: setting.choices for setting in settings}
    flag = previous[-1].replace("_", "-")
    if flag in choices and not current.startswith("-"):
        return _with_prefix(current, choices[flag])
    if not current.startswith("-"):
        return []
    negated = [f"--no-{s.flag.removeprefix('--')}" for s in settings if s.value_type == "switch"]
    return _with_prefix(current, [*choices, *negated, "--settings", "--debug", "--help"])


def _with_prefix(prefix: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(prefix.replace("_", "-"))]

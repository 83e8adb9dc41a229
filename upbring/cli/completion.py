"""Completion of verbs, flags and choices in bash, zsh and fish: `upbring completion SHELL`.

The script is printed and never written to a shell's start-up file. It asks this program for words.
"""

import os
import sys
from collections.abc import Iterable

from upbring.errors import InputError, nearest
from upbring.settings.command_table import imported, verbs

ASKED = "_UPBRING_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
SCRIPTS = {
    "bash": f"""_upbring() {{
  local IFS=$'\\n'
  COMPREPLY=($({ASKED}=1 upbring "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null))
}}
complete -o default -F _upbring upbring
""",
    "zsh": f"""#compdef upbring
_upbring() {{
  local -a found
  found=("${{(@f)$({ASKED}=1 upbring "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if [[ -n "${{found[1]}}" ]]; then compadd -- "${{found[@]}}"; else _files; fi
}}
compdef _upbring upbring
""",
    "fish": f"""function __upbring
  set -l typed (commandline -opc)[2..-1] (commandline -ct)
  {ASKED}=1 upbring $typed 2>/dev/null
end
complete -c upbring -a '(__upbring)'
""",
}


def asked() -> bool:
    """Whether a shell asks for words instead of a run."""
    return os.environ.get(ASKED) == "1"


def print_words(typed: list[str]) -> None:
    """Print what may stand in place of the last word typed, a line each."""
    sys.stdout.write("".join(f"{word}\n" for word in words_for(typed)))


def print_script(words: list[str]) -> None:
    """Print the script of one shell."""
    use = f"give one of {', '.join(SHELLS)}, as in `upbring completion bash`"
    if len(words) != 1:
        raise InputError(f"upbring completion: {len(words)} words; {use}")
    if words[0] in {"--help", "-h"}:
        sys.stdout.write(
            f"Usage: upbring completion {'|'.join(SHELLS)}\n\n"
            "Print the script that completes verbs, flags and choices in this shell.\n"
            'To use it in bash, say: eval "$(upbring completion bash)"\n'
        )
        return
    if words[0] not in SHELLS:
        meant = nearest(words[0], SHELLS)
        hint = f"did you mean {meant}?" if meant else use
        raise InputError(f"upbring completion: no such shell {words[0]}; {hint}")
    sys.stdout.write(SCRIPTS[words[0]])


def words_for(typed: list[str]) -> list[str]:
    """Return what may stand in place of the last of `typed`; nothing leaves it to file names.

    >>> words_for(["exp"])
    ['export']
    >>> words_for(["sft", "--tune", "f"])
    ['full']
    """
    typed = [word for word in typed if word != "="]  # bash splits --flag=value in three
    if not typed:
        return []
    *before, last = typed
    if not before:
        return _beginning(last, [*verbs(), "completion", "--help", "--version"])
    if before[0] == "completion":
        return _beginning(last, SHELLS)
    if before[0] == "plan":
        return words_for([*before[1:], last])
    return _of_verb(before, last) if before[0] in verbs() else []


def _of_verb(before: list[str], last: str) -> list[str]:
    from upbring.settings.schema import declared  # noqa: PLC0415 -- 60 ms that verbs do not need

    settings = declared(imported(verbs()[before[0]].settings)).values()
    choices = {setting.flag: setting.choices for setting in settings}
    flag = before[-1].replace("_", "-")
    if flag in choices and not last.startswith("-"):
        return _beginning(last, choices[flag])
    if not last.startswith("-"):
        return []
    negated = [f"--no-{s.flag.removeprefix('--')}" for s in settings if s.shape == "switch"]
    return _beginning(last, [*choices, *negated, "--settings", "--debug", "--help"])


def _beginning(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start.replace("_", "-"))]

"""`upbring init`: write a commented recipe and example data."""

import sys
from functools import partial

from upbring.errors import InputError
from upbring.pipeline.recipe_templates import CASES, write_recipe
from upbring.settings.commands.init import InitSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console

DEFAULT_MODEL = "builtin:sprout"


def run(resolved: Resolved[InitSettings]) -> None:
    """Ask for missing settings, write the files, and print the next command."""
    settings = resolved.settings
    console = Console()
    case = settings.case or _ask_case(console)
    model = settings.model or _ask(
        console, f"Model to start from (a folder or a hub id; Enter for {DEFAULT_MODEL}): "
    )
    name = model or DEFAULT_MODEL
    log = partial(console.print, markup=False, highlight=False)
    written = write_recipe(case, model=name, folder=settings.to, data=settings.data, log=log)
    for path in written:
        log(f"wrote {path}")
    log(f"Next:  upbring run {written[0]}")


def _ask_case(console: Console) -> str:
    """Return the case that the user chooses."""
    names = list(CASES)
    for number, name in enumerate(names, 1):
        console.print(f"  {number}  {name}: {CASES[name]}", markup=False, highlight=False)
    answer = _ask(console, f"What do you want? (1 to {len(names)}, or a name): ")
    if answer.isdecimal() and 1 <= int(answer) <= len(names):
        return names[int(answer) - 1]
    if answer in names:
        return answer
    raise InputError(f"{answer!r}: is not one of the cases; give --case {'|'.join(names)}")


def _ask(console: Console, question: str) -> str:
    if not sys.stdin.isatty():
        raise InputError("standard input is not a terminal; give --case and --model")
    return console.input(question, markup=False).strip()

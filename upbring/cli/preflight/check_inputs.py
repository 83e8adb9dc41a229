"""Checks the inputs of a command before its module, and with it torch, is imported.

A wrong path is then reported as fast as a misspelled flag. Excluded: checks that need a model.
"""

from collections.abc import Iterator
from typing import Any

from upbring.cli.command import Command
from upbring.cli.preflight.find_run import find_run_to_resume
from upbring.cli.preflight.planned_command import planned_command
from upbring.cli.preflight.problems import Problems
from upbring.cli.preflight.training import check_training
from upbring.data.chat.template_file import read_template_file
from upbring.data.read import files
from upbring.pipeline.recipe import read_recipe
from upbring.rules.by_name import is_function
from upbring.runs.environment import reject_missing_gpu
from upbring.runs.find_model import find_local_model
from upbring.stages.registry import methods

CHECKED_COMMANDS = frozenset(
    {"evaluate", "score", "redteam", "harden", "constitution", "best-of-n", "teacher"}
)
DATA_FILES = (
    "data",
    "prompts",
    "gold",
    "human",
    "harmful",
    "innocent",
    "test_harmful",
    "test_innocent",
)  # settings
NO_JUDGE = "none"
NO_FOLDER = ("http:", "https:", "votes:", "builtin:gold")  # values that name no model's folder


def check_inputs(command: Command, settings: Any) -> None:  # noqa: ANN401 -- each command's own
    """Raise one InputError that lists what is wrong with a command's inputs."""
    if command.is_method:
        check_training(methods()[command.name], settings, is_new_run=True)
    elif command.name == "plan":
        planned = planned_command(settings.do)
        if planned is not None:
            check_training(planned.method, planned.resolved.settings, is_new_run=False)
    elif command.name == "run":
        read_recipe(settings.recipe)
    elif command.name == "resume":
        find_run_to_resume(settings)
    else:
        _check_files(command, settings)


def _check_files(command: Command, settings: Any) -> None:  # noqa: ANN401 -- as above
    """Check the models, data files and output folder of a command that does not train."""
    problems = Problems()
    for name in _models(command, settings):
        problems.check(find_local_model, name)
    for name in DATA_FILES if command.name in CHECKED_COMMANDS else ():
        for path in getattr(settings, name, ()):
            if not files.is_hub(path):
                problems.check(files.check_path, path)
    if getattr(settings, "device", None) == "cuda":
        problems.check(reject_missing_gpu)
    problems.check(read_template_file, getattr(settings, "chat_template", None))
    if command.name in {"export", "score"} and settings.to is not None and settings.to.exists():
        problems.messages.append(f"{settings.to}: already exists; choose another --to")
    problems.raise_all()


def _models(command: Command, settings: Any) -> Iterator[str]:  # noqa: ANN401 -- as above
    """Yield what names the folder of a model in the settings of a command."""
    if command.name == "init":  # writes the name into a recipe
        return
    names = ("model", "models", "ensemble", "judge", *(["run"] if command.name == "export" else []))
    for name in names:
        value = getattr(settings, name, None)
        for each in value if isinstance(value, tuple) else (value,):
            is_rule = name == "judge" and (each == NO_JUDGE or is_function(str(each)))
            if each is not None and not is_rule and not str(each).startswith(NO_FOLDER):
                yield str(each)

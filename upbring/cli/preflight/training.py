"""Checks of a training command: model, data, chat template, device, reward and output folder.

Excluded: what needs a tokenizer, weights, or all rows of a large file; the stage checks that.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from upbring.cli.preflight.problems import Problems
from upbring.data.chat.template_file import read_template_file
from upbring.data.read import files, formats
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.errors import InputError
from upbring.runs.environment import reject_missing_gpu
from upbring.runs.find_model import find_local_model
from upbring.runs.run_folder import reject_existing
from upbring.settings.input_references import split_weight
from upbring.settings.schema import flag_of
from upbring.stages.registry import LearnsFrom, Method

MAX_READ_BYTES = 2_000_000  # of a file that is read completely: some tenths of a second
RECORD_TYPES: dict[LearnsFrom, tuple[RecordType, ...]] = {
    "documents": (Document,),
    "demonstrations": (Demonstration,),
    "comparisons": (Comparison,),
    "labels": (Comparison, Label),
    "prompts": (Prompt,),
}
REWARD_SETTINGS = ("reward_model", "reward_function", "rule")


def check_training(method: Method, settings: Any, *, is_new_run: bool) -> None:  # noqa: ANN401 -- each method's own
    """Raise one InputError that lists what is wrong with the inputs of a training command."""
    problems = Problems()
    for name in model_names(settings):
        problems.check(find_local_model, name)
    if getattr(settings, "device", None) == "cuda":
        problems.check(reject_missing_gpu)
    problems.check(read_template_file, getattr(settings, "chat_template", None))
    for path in (*settings.data, *settings.held_out):
        problems.check(check_data_file, path, RECORD_TYPES[method.learns_from], settings)
    for text in settings.mix:
        problems.check(check_mixed_file, text)
    if getattr(settings, "prompts", None) and method.learns_from != "prompts":
        problems.check(files.check_path, settings.prompts)
    problems.check(reject_missing_reward, settings)
    if is_new_run and settings.name is not None and "WORLD_SIZE" not in os.environ:
        problems.check(reject_existing, settings.runs / settings.name)
    problems.raise_all()


def model_names(settings: Any) -> Iterator[str]:  # noqa: ANN401 -- as above
    """Yield the models that a training command reads; the gold reward is not one."""
    yield settings.model
    rewards = (*getattr(settings, "reward_model", ()), getattr(settings, "judge", None))
    for text in filter(None, rewards):
        name, _ = split_weight("reward_model", text)
        if name != "builtin:gold":
            yield name


def check_data_file(path: Path, kinds: tuple[RecordType, ...], settings: Any) -> None:  # noqa: ANN401 -- as above
    """Raise an InputError if a file is missing or has no format for the first or another kind.

    All rows of a small file are read, unless malformed rows are to be skipped.
    """
    if files.is_hub(path):
        return
    files.check_path(path)
    reader = _first_reader(path, kinds, settings.format)
    if settings.skip_bad is None and path.stat().st_size <= MAX_READ_BYTES:
        for _ in reader:
            pass


def _first_reader(
    path: Path, kinds: tuple[RecordType, ...], format_name: str
) -> "formats.RecordReader[Any]":
    for kind in kinds[:-1]:
        try:
            return formats.read_records(path, kind, format=format_name)
        except InputError:
            continue
    return formats.read_records(path, kinds[-1], format=format_name)


def check_mixed_file(text: str) -> None:
    """Raise an InputError if the file of FILE=WEIGHT is missing; the stage checks the weight."""
    path, weight = split_weight("mix", text)
    if weight and not files.is_hub(Path(path)):
        files.check_path(Path(path))


def reject_missing_reward(settings: Any) -> None:  # noqa: ANN401 -- as above
    """Raise an InputError if a method that needs a reward has none."""
    names = [name for name in REWARD_SETTINGS if hasattr(settings, name)]
    if not names or any(getattr(settings, name) for name in names):
        return
    values = {"reward_model": "RUN", "reward_function": "FILE.py:FUNCTION", "rule": "is_json"}
    options = " or ".join(f"{flag_of(name)} {values[name]}" for name in names)
    raise InputError(f"no reward is given; give {options}")

"""Arguments of a call as values of settings: runs, rows in memory and pairs with weights.

Everything else is passed on as it is, so that a call means what the same command line means.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from upbring.api.messages import function_of
from upbring.api.rows import Data, as_files
from upbring.api.run import Run
from upbring.data.trees.store import cache_folder
from upbring.errors import InputError, format_value
from upbring.plurals import format_count
from upbring.settings.input_references import STAGE_SETTINGS, WEIGHTED_SETTINGS
from upbring.settings.resolve import CallStyle, Resolved, S, resolve
from upbring.settings.schema import SettingSpec, setting_specs

ModelLike = str | os.PathLike[str] | Run
Weighted = ModelLike | tuple[ModelLike, float]
WeightedModels = Weighted | Sequence[Weighted] | Mapping[str, float]
Mixture = str | tuple[Data, float] | Sequence[str | tuple[Data, float]] | Mapping[str, float]
WeightedNames = str | Sequence[str | tuple[str, float]] | Mapping[str, float]

# Settings that name data; their value may be rows in memory.
REQUESTS = ("harmful", "innocent", "test_harmful", "test_innocent")
DATA_SETTINGS = frozenset({"data", "prompts", "held_out", "demonstrations", *REQUESTS})
MODEL_SETTINGS = (STAGE_SETTINGS - {"mix"}) | {"ensemble", "run"}
WEIGHTED = WEIGHTED_SETTINGS | {"reward_function"}
ROWS_FOLDER = ".rows"  # in the folder of the runs; no run's name starts with a dot
CACHED_ROWS_FOLDER = "rows"  # in the cache


def resolve_arguments(
    settings_class: type[S], *, command: str, arguments: Mapping[str, object]
) -> Resolved[S]:
    """Return the settings of a call."""
    specs = setting_specs(settings_class)
    folder = _rows_folder(specs, arguments)
    values = {
        name: _setting_value(specs[name], value, folder=folder) if name in specs else value
        for name, value in arguments.items()
    }
    style = CallStyle("argument", f"see help(upbring.{function_of(command)})")
    return resolve(settings_class, section=command, flags=values, style=style)


def model_name(model: object, *, argument: str = "model") -> str:
    """Return the name of a model: of a run the path of its folder."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    raise InputError(
        f"{argument}: {format_value(model)} is no model; give a folder, a run or a hub id"
    )


def _rows_folder(specs: Mapping[str, SettingSpec], arguments: Mapping[str, object]) -> Path:
    """Return the folder for rows in memory: next to the runs, else in the cache."""
    if "runs" not in specs:
        return cache_folder(log=lambda _: None) / CACHED_ROWS_FOLDER
    return Path(str(arguments.get("runs", specs["runs"].default))) / ROWS_FOLDER


def _setting_value(spec: SettingSpec, value: object, *, folder: Path) -> object:
    """Return the value of one argument as the setting takes it."""
    if value is None:
        return None
    if spec.name == "mix":
        return tuple(_mixture_parts(value, folder))
    if spec.name in DATA_SETTINGS and spec.value_type == "path":
        files = as_files(value, argument=spec.name, folder=folder)  # type: ignore[arg-type]  # checked there
        return files if spec.is_list else _only_file(spec.name, files)
    if spec.name in WEIGHTED:
        return tuple(_weighted_texts(spec.name, value))
    if spec.name in MODEL_SETTINGS:
        items = value if isinstance(value, list | tuple) else (value,)
        names = tuple(model_name(item, argument=spec.name) for item in items)
        return names if spec.is_list else _only_model(spec.name, names)
    return _native_value(spec, value)


def _native_value(spec: SettingSpec, value: object) -> object:
    """Return a number of numpy or torch as a number, and text of a path as text."""
    if isinstance(value, list | tuple | set | frozenset) and spec.is_list:
        return tuple(_native_value(spec, item) for item in value)
    if isinstance(value, os.PathLike):
        return Path(value) if spec.value_type == "path" else os.fspath(value)
    if spec.value_type in {"integer", "number", "switch"} and hasattr(value, "item"):
        return value.item()
    return value


def _mixture_parts(value: object, folder: Path) -> list[str]:
    parts = []
    for source, weight in _pairs("mix", value):
        if weight is None:  # FILE=WEIGHT
            parts.append(model_name(source, argument="mix"))
            continue
        files = as_files(source, argument="mix", folder=folder)  # type: ignore[arg-type]  # checked there
        parts.append(f"{_only_file('mix', files)}={weight!r}")
    return parts


def _weighted_texts(argument: str, value: object) -> list[str]:
    return [
        model_name(name, argument=argument) + ("" if weight is None else f"={weight!r}")
        for name, weight in _pairs(argument, value)
    ]


def _pairs(argument: str, value: object) -> list[tuple[object, float | None]]:
    """Return the items of a weighted setting, each with its weight, or None if it has none."""
    if isinstance(value, Mapping):
        return [(name, _weight(argument, weight)) for name, weight in value.items()]
    if _is_pair(value):
        value = [value]
    items = value if isinstance(value, list | tuple) else (value,)
    return [
        (item[0], _weight(argument, item[1])) if _is_pair(item) else (item, None) for item in items
    ]


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2  # noqa: PLR2004 -- a pair
        and not isinstance(value[1], str | os.PathLike)
    )


def _weight(argument: str, weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError(f"{argument}: the weight {format_value(weight)} is not a number; give one")
    return float(weight)


def _only_file(argument: str, files: Sequence[Path]) -> Path:
    if len(files) != 1:
        raise InputError(f"{argument}: has {format_count(len(files), 'file')}; give one")
    return files[0]


def _only_model(argument: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise InputError(f"{argument}: has {format_count(len(names), 'model')}; give one")
    return names[0]

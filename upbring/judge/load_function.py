"""Rewards and metrics by name: a rule, or FILE.py:FUNCTION. A function may also be passed itself.

The file is the user's own and runs as a script would, with its folder on the search path while it
is loaded.
"""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from upbring.errors import FunctionError, InputError, format_value, nearest
from upbring.judge.row_function import RowFunction
from upbring.rules.by_name import RULES, Columns

PARAMETERS = ("prompt", "response", "row", "messages")
# What other libraries call these arguments.
FOREIGN_PARAMETERS = frozenset({"prompts", "completions", "completion_ids", "completion"})


def load_function(name: str, setting: str) -> RowFunction:
    """Return the rule or the function with this name; `setting` is named in errors."""
    path, separator, function_name = name.rpartition(":")
    if not separator and name.endswith(".py"):
        path, function_name = name, ""
    if path.endswith(".py"):
        return _from_file(Path(path), function_name, setting)
    rule_name = name.removeprefix("is_")
    if rule_name in RULES:
        return _from_rule(rule_name)
    suggestion = nearest(rule_name, RULES)
    hint = f"did you mean {suggestion}?" if suggestion else f"use a rule ({', '.join(RULES)})"
    raise InputError(f"{setting}: {format_value(name)} is unknown; {hint} or FILE.py:FUNCTION")


def make_function(function: Callable[..., Any], setting: str) -> RowFunction:
    """Return a function that the caller passed."""
    name = getattr(function, "__name__", type(function).__name__)
    return RowFunction(name, function, _parameters(function, name, setting), _source_hash(function))


def _from_rule(name: str) -> RowFunction:
    rule = RULES[name]

    def score(response: str, row: Columns) -> float:
        return rule.score(response, row)

    return RowFunction(name, score, ("response", "row"), rule=rule)


def _from_file(path: Path, function_name: str, setting: str) -> RowFunction:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{setting}: {path} cannot be read ({error.strerror or error}); name another file"
        ) from error
    digest = hashlib.sha256(source).hexdigest()
    module = _load_module(path, digest, setting)
    functions = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]
    if not function_name:
        hint = f"write {path}:{functions[0]}" if functions else "write a function into it"
        raise InputError(f"{setting}: {path} names no function; {hint}")
    function = getattr(module, function_name, None)
    name = f"{path.name}:{function_name}"
    if not callable(function):
        suggestion = nearest(function_name, functions)
        hint = f"did you mean {suggestion}?" if suggestion else f"it has {', '.join(functions)}"
        raise InputError(
            f"{setting}: {path} has no function {function_name}; "
            f"{hint if functions else 'write it'}"
        )
    return RowFunction(name, function, _parameters(function, name, setting), digest)


def _load_module(path: Path, digest: str, setting: str) -> ModuleType:
    """Return the module of a file, loaded once as long as the file is the same."""
    location = hashlib.sha256(f"{path.resolve()} {digest}".encode()).hexdigest()[:16]
    module_name = f"{path.stem}_{location}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None, "a path that ends in .py has a loader"
    assert spec.loader is not None, "a path that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[module_name] = module
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise FunctionError(
            f"{setting}: {path}{line} cannot be loaded ({type(error).__name__}: {error}); "
            "correct it"
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def _parameters(function: Callable[..., Any], name: str, setting: str) -> tuple[str, ...]:
    """Return the parameters that a function names."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{setting}: the parameters of {name} are unknown; write a function with a def"
        ) from error
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    own_names = {each.name for each in parameters}
    named = tuple(name for name in PARAMETERS if takes_all or name in own_names)
    for each in parameters:
        is_open = each.kind in {each.VAR_KEYWORD, each.VAR_POSITIONAL}
        is_optional = is_open or each.default is not each.empty
        if each.name not in PARAMETERS and not is_optional:
            more = " (it is called once per response)" if each.name in FOREIGN_PARAMETERS else ""
            raise InputError(
                f"{setting}: {name} has the parameter {each.name}; use prompt, response, row and "
                f"messages, as in def {name.rpartition(':')[2]}(prompt, response, row){more}"
            )
        if each.name in PARAMETERS and each.kind is each.POSITIONAL_ONLY:
            raise InputError(f"{setting}: {name} takes {each.name} by position; remove the /")
    if "response" not in named:
        raise InputError(f"{setting}: {name} has no parameter response; add it")
    return named


def _source_hash(function: Callable[..., Any]) -> str | None:
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        return None  # written in a console, or not a function

"""The registry of training methods: each is one object, and everything else derives from it.

The command line, recipes, reports, the settings reference and the README's table read it. Methods
of other packages are found through entry points. No torch here: what needs it is an import string.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from upbring.errors import InputError, format_value, nearest

ENTRY_POINT_GROUP = "upbring.methods"
BUILTIN_METHODS = "upbring.stages.builtin_methods:BUILTIN_METHODS"

LearnsFrom = Literal["documents", "demonstrations", "comparisons", "labels", "prompts"]
Makes = Literal["policy", "reward model"]


@dataclass(frozen=True)
class Method:
    """A way to train: one command, one kind of stage, one section of a settings file."""

    name: str
    help: str
    settings: str  # "module:Class", a subclass of `settings.schema.Settings`
    learns_from: LearnsFrom
    makes: Makes
    algorithm: str  # "module:OBJECT", a `stages.context.Implementation`
    panels: tuple[str, ...]  # metrics in the progress bar and first in the report
    example: str
    description: str = ""

    @property
    def positional(self) -> str:
        """The setting that the command's positional arguments fill."""
        return "prompts" if self.learns_from == "prompts" else "data"


@cache
def methods() -> Mapping[str, Method]:
    """Return all methods by name: the built-in ones, then those of other packages."""
    found: dict[str, Method] = {each.name: each for each in import_object(BUILTIN_METHODS)}
    packages = dict.fromkeys(found, "upbring")
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        package = entry_point.dist.name if entry_point.dist else entry_point.value
        method = _load_entry_point(entry_point, package)
        if method.name in found:
            raise InputError(
                f"package {package}: its method {format_value(method.name)} has the name of one of "
                f"package {packages[method.name]}; uninstall one of them"
            )
        found[method.name], packages[method.name] = method, package
    return found


def find_method(name: str) -> Method:
    """Return the method of this name, or raise an error with the nearest name."""
    if name in methods():
        return methods()[name]
    suggestion = nearest(name, methods())
    hint = f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(methods())}"
    raise InputError(
        f"method {format_value(name)}: not found; {hint} (a package that adds it may be missing)"
    )


def load_settings(method: Method) -> Any:  # noqa: ANN401 -- a class of settings, each method's own
    """Return the class of a method's settings."""
    return import_object(method.settings)


def load_implementation(method: Method) -> Any:  # noqa: ANN401 -- a type that needs torch
    """Return a method's `Implementation`; this imports torch."""
    return import_object(method.algorithm)


def import_object(path: str) -> Any:  # noqa: ANN401 -- a class or a function, as the caller knows
    """Return what an import string such as `package.module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _load_entry_point(entry_point: EntryPoint, package: str) -> Method:
    """Return the method of another package; errors name that package."""
    location = f"package {package}: entry point {entry_point.name} = {entry_point.value}"
    try:
        method = entry_point.load()
    except Exception as error:
        raise InputError(
            f"{location} cannot be loaded ({type(error).__name__}: {error}); "
            "repair or uninstall the package"
        ) from error
    if not isinstance(method, Method):
        raise InputError(
            f"{location} is a {type(method).__name__}, not an upbring.stages.registry.Method; "
            "repair or uninstall the package"
        )
    return method

"""LLM post-training: SFT, reward models, RL and evaluation. Public names are imported lazily."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upbring.errors import (
        DivergedError,
        GateError,
        InputError,
        Interrupted,
        ResourceError,
        ResumeError,
        UpbringError,
    )

__version__ = "0.1.0"

_MODULES = {
    "DivergedError": "upbring.errors",
    "GateError": "upbring.errors",
    "InputError": "upbring.errors",
    "Interrupted": "upbring.errors",
    "ResourceError": "upbring.errors",
    "ResumeError": "upbring.errors",
    "UpbringError": "upbring.errors",
}

__all__ = [
    "DivergedError",
    "GateError",
    "InputError",
    "Interrupted",
    "ResourceError",
    "ResumeError",
    "UpbringError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that importing the package stays fast."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'upbring' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

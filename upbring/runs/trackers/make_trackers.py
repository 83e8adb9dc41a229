"""Experiment trackers by name, each imported only if it is used."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec

from upbring.errors import InputError
from upbring.runs.callback import Callback

# Name: the package that it needs, and the callback.
TRACKERS: Mapping[str, tuple[str, str]] = {
    "tensorboard": ("tensorboard", "upbring.runs.trackers.tensorboard:TensorBoard"),
    "wandb": ("wandb", "upbring.runs.trackers.wandb:WandB"),
    "mlflow": ("mlflow", "upbring.runs.trackers.mlflow:MLflow"),
    "trackio": ("trackio", "upbring.runs.trackers.trackio:Trackio"),
}


def make_trackers(names: Sequence[str]) -> list[Callback]:
    """Return the callback of each tracker; raise if a package is missing."""
    for name in names:
        if find_spec(TRACKERS[name][0]) is None:
            raise InputError(
                f'track: {name} is not installed; install it with: pip install "upbring[{name}]"'
            )
    return [_make(TRACKERS[name][1]) for name in dict.fromkeys(names)]


def _make(import_string: str) -> Callback:
    module, _, name = import_string.partition(":")
    make: Callable[[], Callback] = getattr(import_module(module), name)
    return make()

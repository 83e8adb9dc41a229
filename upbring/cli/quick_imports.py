"""Imports of a command take less time: no garbage collection, and peft without bitsandbytes.

The collector would read all of what is imported again and again, which takes a tenth of the time
until a run starts, and later at every full collection. peft imports bitsandbytes wherever it is
installed, for layers of its own, and with it torch's compiler: 1.4 s. A command has its own layers
for few bits, and imports bitsandbytes only where a model needs them.
"""

import gc
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

HIDDEN = "bitsandbytes"


def pause_collection() -> None:
    """Collect nothing from now on. Only a process of its own may do this, at its start."""
    gc.disable()


def resume_collection() -> None:
    """Collect again, if it was paused, but never what there is by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def import_peft_without_bitsandbytes() -> None:
    """Hide it from peft from now on. Only a process of its own may do this, at its start."""
    sys.meta_path.insert(0, _PeftFinder())


class _PeftLoader(Loader):
    """Executes a module while another one seems not to be installed."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if HIDDEN in sys.modules:
            self._loader.exec_module(module)
            return
        sys.modules[HIDDEN] = None  # type: ignore[assignment]  # how Python marks what is missing
        try:
            self._loader.exec_module(module)
        finally:
            del sys.modules[HIDDEN]


class _PeftFinder(MetaPathFinder):
    """Finds peft, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PeftLoader(spec.loader)
        return spec

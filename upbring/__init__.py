"""LLM post-training: SFT, reward models, RL and evaluation. Public names are imported lazily."""

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upbring.api.arguments import ModelLike
    from upbring.api.data_check import DataCheck
    from upbring.api.evaluation import Evaluation
    from upbring.api.functions import (
        best_of_n,
        check,
        collect,
        constitution,
        dpo,
        evaluate,
        grpo,
        harden,
        ipo,
        kto,
        orpo,
        ppo,
        pretrain,
        redteam,
        reward_model,
        rloo,
        score,
        sft,
        simpo,
        teacher,
    )
    from upbring.api.model import Model
    from upbring.api.models import export, import_gguf, load
    from upbring.api.pipeline import PipelineResult, run
    from upbring.api.planning import PlanEstimate, plan
    from upbring.api.rows import Data
    from upbring.api.run import Run
    from upbring.api.training import resume, train
    from upbring.errors import (
        DivergedError,
        GateError,
        InputError,
        Interrupted,
        ResourceError,
        ResumeError,
        UpbringError,
    )
    from upbring.runs.callback import Callback

__version__ = "0.1.0"

# It warns of kernels that it would like to download, even where nobody set up logging.
logging.getLogger("bitsandbytes").addHandler(logging.NullHandler())

_MODULES = {
    "Callback": "upbring.runs.callback",
    "Data": "upbring.api.rows",
    "DataCheck": "upbring.api.data_check",
    "DivergedError": "upbring.errors",
    "Evaluation": "upbring.api.evaluation",
    "GateError": "upbring.errors",
    "InputError": "upbring.errors",
    "Interrupted": "upbring.errors",
    "Model": "upbring.api.model",
    "ModelLike": "upbring.api.arguments",
    "PipelineResult": "upbring.api.pipeline",
    "PlanEstimate": "upbring.api.planning",
    "ResourceError": "upbring.errors",
    "ResumeError": "upbring.errors",
    "Run": "upbring.api.run",
    "UpbringError": "upbring.errors",
    "best_of_n": "upbring.api.functions",
    "check": "upbring.api.functions",
    "collect": "upbring.api.functions",
    "constitution": "upbring.api.functions",
    "dpo": "upbring.api.functions",
    "evaluate": "upbring.api.functions",
    "export": "upbring.api.models",
    "grpo": "upbring.api.functions",
    "harden": "upbring.api.functions",
    "import_gguf": "upbring.api.models",
    "ipo": "upbring.api.functions",
    "kto": "upbring.api.functions",
    "load": "upbring.api.models",
    "orpo": "upbring.api.functions",
    "plan": "upbring.api.planning",
    "ppo": "upbring.api.functions",
    "pretrain": "upbring.api.functions",
    "redteam": "upbring.api.functions",
    "resume": "upbring.api.training",
    "reward_model": "upbring.api.functions",
    "rloo": "upbring.api.functions",
    "run": "upbring.api.pipeline",
    "score": "upbring.api.functions",
    "sft": "upbring.api.functions",
    "simpo": "upbring.api.functions",
    "teacher": "upbring.api.functions",
    "train": "upbring.api.training",
}

__all__ = [
    "Callback",
    "Data",
    "DataCheck",
    "DivergedError",
    "Evaluation",
    "GateError",
    "InputError",
    "Interrupted",
    "Model",
    "ModelLike",
    "PipelineResult",
    "PlanEstimate",
    "ResourceError",
    "ResumeError",
    "Run",
    "UpbringError",
    "__version__",
    "best_of_n",
    "check",
    "collect",
    "constitution",
    "dpo",
    "evaluate",
    "export",
    "grpo",
    "harden",
    "import_gguf",
    "ipo",
    "kto",
    "load",
    "orpo",
    "plan",
    "ppo",
    "pretrain",
    "redteam",
    "resume",
    "reward_model",
    "rloo",
    "run",
    "score",
    "sft",
    "simpo",
    "teacher",
    "train",
]


class _PublicModule(ModuleType):
    """This package, whose functions `evaluate`, `export` and `train` are also subpackages' names.

    Importing a subpackage would replace the function of its name; the subpackage stays importable.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PublicModule


if not TYPE_CHECKING:  # else every name would be accepted

    def __getattr__(name: str) -> object:
        """Import a public name on first use, so that importing the package stays fast."""
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module 'upbring' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

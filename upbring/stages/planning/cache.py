"""What was counted and timed of a model on this machine, found again by the next run of its kind.

A file in the cache for each kind: the model's configuration, how it learns, the lengths of a usual
text, the machine and the versions. Whatever is damaged or was written otherwise counts as unknown.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from upbring import __version__, durable
from upbring.data.trees.store import cache_folder
from upbring.durable import JSON
from upbring.errors import UpbringError
from upbring.runs.environment import processor, usable_cores
from upbring.settings.model import AdapterSettings
from upbring.stages.context import Cast
from upbring.stages.planning.estimate import Line, Shape
from upbring.stages.planning.speed_probe import Pace
from upbring.stages.planning.workload import Demand

FORMAT = 1


@dataclass(frozen=True)
class Memory:
    """The place of what is known of one kind of run, and what is known."""

    path: Path
    shape: Shape | None = None
    pace: Pace | None = None

    @classmethod
    def of(cls, cast: Cast, wanted: Demand) -> Self:
        """Return what is known of runs such as this one."""
        folder = cache_folder(notice=lambda _: None)
        path = folder / f"plan-{_key(cast, wanted)}.json"
        try:
            found = json.loads(path.read_bytes())
            return cls(path, _shape(found["shape"]), _pace(found["pace"]))
        except (OSError, ValueError, TypeError, KeyError):
            return cls(path)

    def knows(self, *, shape: Shape, pace: Pace) -> None:
        """Keep what was counted and timed, if that can be written."""
        try:
            durable.write_json(self.path, {"shape": asdict(shape), "pace": asdict(pace)})
        except UpbringError:
            self.path.unlink(missing_ok=True)


def _key(cast: Cast, wanted: Demand) -> str:
    """Return a name for all that decides about shape and pace."""
    machine, settings = cast.machine, cast.settings
    first = wanted.trees[0]
    adapter = {name: getattr(settings, name) for name in AdapterSettings.model_fields}
    what: list[JSON] = [
        *(FORMAT, __version__, torch.__version__, processor(), usable_cores()),
        *(str(machine.device), str(machine.compute), machine.threads),
        cast.loaded.model.network.config.to_json_string(use_diff=False),
        settings.gradient_checkpointing,
        {**adapter},
        [len(first.prompt), *(len(branch.tokens) for branch in first.branches)],
        None if wanted.growth is None else asdict(wanted.growth),
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _shape(found: Mapping[str, Any]) -> Shape:
    values: dict[str, Any] = {
        name: Line(**v) if isinstance(v, dict) else v for name, v in found.items()
    }
    return Shape(**values)


def _pace(found: Mapping[str, Any]) -> Pace:
    pace = Pace(**{field.name: float(found[field.name]) for field in fields(Pace)})
    if not all(0 <= value < float("inf") for value in asdict(pace).values()):
        raise ValueError("a pace is a number of seconds")
    return pace

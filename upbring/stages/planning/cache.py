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
from upbring.runs.environment import processor_name, usable_cores
from upbring.settings.model import AdapterSettings
from upbring.stages.context import StageContext
from upbring.stages.planning.estimate import LinearBytes, MemoryProfile
from upbring.stages.planning.speed_probe import SpeedProfile
from upbring.stages.planning.workload import Workload

FORMAT = 2


@dataclass(frozen=True)
class PlanCache:
    """The place of what is known of one kind of run, and what is known."""

    path: Path
    memory_profile: MemoryProfile | None = None
    speed_profile: SpeedProfile | None = None

    @classmethod
    def load(cls, context: StageContext, workload: Workload) -> Self:
        """Return what is known of runs such as this one."""
        folder = cache_folder(log=lambda _: None)
        path = folder / f"plan-{_cache_key(context, workload)}.json"
        try:
            data = json.loads(path.read_bytes())
            return cls(
                path, _parse_memory_profile(data["shape"]), _parse_speed_profile(data["pace"])
            )
        except (OSError, ValueError, TypeError, KeyError):
            return cls(path)

    def save(self, *, memory_profile: MemoryProfile, speed_profile: SpeedProfile) -> None:
        """Keep what was counted and timed, if that can be written."""
        try:
            durable.write_json(
                self.path, {"shape": asdict(memory_profile), "pace": asdict(speed_profile)}
            )
        except UpbringError:
            self.path.unlink(missing_ok=True)


def _cache_key(context: StageContext, workload: Workload) -> str:
    """Return a name for all that decides about shape and pace."""
    machine, settings = context.machine, context.settings
    first_tree = workload.trees[0]
    adapter = {name: getattr(settings, name) for name in AdapterSettings.model_fields}
    key_parts: list[JSON] = [
        *(FORMAT, __version__, torch.__version__, processor_name(), usable_cores()),
        *(str(machine.device), str(machine.compute_dtype), machine.threads),
        context.loaded.model.network.config.to_json_string(use_diff=False),
        settings.gradient_checkpointing,
        {**adapter},
        [len(first_tree.prompt), *(len(branch.tokens) for branch in first_tree.branches)],
        None if workload.sampling is None else asdict(workload.sampling),
    ]
    return hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()[:32]


def _parse_memory_profile(data: Mapping[str, Any]) -> MemoryProfile:
    values: dict[str, Any] = {
        name: LinearBytes(**v) if isinstance(v, dict) else v for name, v in data.items()
    }
    return MemoryProfile(**values)


def _parse_speed_profile(data: Mapping[str, Any]) -> SpeedProfile:
    speed_profile = SpeedProfile(
        **{field.name: float(data[field.name]) for field in fields(SpeedProfile)}
    )
    if not all(0 <= value < float("inf") for value in asdict(speed_profile).values()):
        raise ValueError("a pace is a number of seconds")
    return speed_profile

"""Advice when a run is out of memory: which settings to change, and what each of them saves.

Only then is the memory of the run computed: `planning` is imported in the error handler. If that
fails too, the same settings are named without their savings.
"""

import gc
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError

from upbring import durable
from upbring.errors import ResourceError, format_command
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.train import checkpoint

# Setting, what to change it to, and the values with which there is nothing to change.
_CHANGES: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("micro_batch_tokens", "--micro-batch-tokens, half of what it was", ()),
    ("gradient_checkpointing", "--gradient-checkpointing", (True,)),
    ("dtype", "--dtype bfloat16", ("bfloat16",)),
    ("tune", "--tune lora", ("lora",)),
)
_TRIED = re.compile(r"tried to allocate .*?(bytes|[KMGT]i?B)", re.IGNORECASE)


@contextmanager
def explain_out_of_memory(
    method_name: str, resolved: Resolved[Any], *, baseline: int = 0, run: Run | None = None
) -> Iterator[None]:
    """Turn an out-of-memory error of any library into a message with advice and exit code 3.

    `baseline` is the memory of the process without the model, in bytes.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
        if not durable.is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # frees the step's tensors for the plan
        gc.collect()
        requirement, changes = _plan_memory(method_name, resolved, baseline=baseline)
        raise ResourceError(
            _format_advice(error, run, requirement=requirement, changes=changes)
        ) from error


def _plan_memory(
    method_name: str, resolved: Resolved[Any], *, baseline: int
) -> tuple[str, list[str]]:
    """Return what the run needs, in words, and the settings to change, in order."""
    try:
        from upbring.stages.planning.dry_model import make_dry_run_context  # noqa: PLC0415 -- only here
        from upbring.stages.planning.plan import plan, savings  # noqa: PLC0415 -- as above

        context = make_dry_run_context(method_name, resolved, log=lambda _: None)
        run_plan = plan(context, baseline=baseline)
        needed, available = (
            durable.format_size(size) for size in (run_plan.memory.total, run_plan.available_bytes)
        )
        changes = savings(run_plan)
    except Exception:  # noqa: BLE001 -- advice must not hide the error that it is about
        return "", [
            change
            for name, change, done in _CHANGES
            if getattr(resolved.settings, name, None) not in done
        ]
    return f": this run needs about {needed}, and the machine has {available}", changes


def _format_advice(
    error: BaseException, run: Run | None, *, requirement: str, changes: list[str]
) -> str:
    """Return the message: what happened, what to change, and where to resume."""
    reason = _reason(str(error).strip())
    advice = "change these settings, in this order, until it fits:"
    lines = [f"out of memory{requirement} ({reason}); {advice}"]
    lines += [f"  {change}" for change in changes]
    if run is not None and (saved_steps := checkpoint.saved_steps(run.checkpoints)):
        lines.append(
            f"the checkpoint of step {saved_steps[-1]} is kept; with more memory, resume "
            f"with {format_command('resume', run.path)}"
        )
    return "\n".join(lines)


def _reason(text: str) -> str:
    """Return what a library says of the failed allocation, in short.

    >>> _reason("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
    ... "memory: you tried to allocate 4096 bytes. Error code 12")
    'tried to allocate 4096 bytes'
    """
    tried = _TRIED.search(text)
    if tried:
        return tried[0]
    return text.splitlines()[0][:100] if text else "no memory left"

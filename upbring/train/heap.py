"""Keeps a run's memory from creeping up: gaps in the heap are returned to the system now and then.

Rows differ in length, and so do the blocks that a step allocates and frees. The C library keeps
them (`devices.retain_freed_memory`), and gaps that no later block fits add up over hundreds of
steps. `malloc_trim` returns whole free pages in the middle of the heap too; the pages that the next
step needs cost time once more, so it is called only after growth, and not often.
"""

import gc
from dataclasses import dataclass, field

from upbring import durable

NUM_FIRST_STEPS = 10  # their memory is the usual
MAX_GROWTH = 1.05
MIN_STEPS_BETWEEN = 20


@dataclass(slots=True)
class HeapTrimmer:
    """Trims the heap when the process holds more than in its first steps."""

    num_steps: int = 0
    usual_bytes: int = 0  # the most after one of the first steps
    trimmed_at: int = field(default=-MIN_STEPS_BETWEEN)

    def after_step(self) -> bool:
        """Trim if memory has grown; return whether it was done."""
        self.num_steps += 1
        used = durable.process_memory_bytes()
        if self.num_steps <= NUM_FIRST_STEPS:
            self.usual_bytes = max(self.usual_bytes, used)
            return False
        if used <= MAX_GROWTH * self.usual_bytes:
            return False
        if self.num_steps - self.trimmed_at < MIN_STEPS_BETWEEN:
            return False
        self.trimmed_at = self.num_steps
        return durable.trim_heap()


def release_memory() -> None:
    """Give the system what an earlier run in this process left behind; its peak is forgotten."""
    gc.collect()  # models refer to themselves
    durable.trim_heap()
    durable.reset_peak_process_memory()

"""Prints the plan of a stage: memory by part, time, and what to change if it does not fit."""

from rich.table import Table

from upbring import durable
from upbring.stages.planning.estimate import MemoryEstimate
from upbring.stages.planning.plan import Plan, format_memory, format_time, savings
from upbring.stages.planning.speed_probe import TimeEstimate
from upbring.terminal import Console
from upbring.train.progress import make_log


def print_plan(console: Console, memory_plan: Plan, time_estimate: TimeEstimate) -> None:
    """Print a plan."""
    log = make_log(console)
    profile = memory_plan.memory_profile
    share = profile.num_trainable / profile.num_parameters
    log(f"{profile.num_trainable:,} of {profile.num_parameters:,} trainable ({share:.2%})")
    log(format_memory(memory_plan))
    console.print(_memory_table(memory_plan.memory))
    log(f"\n{format_time(memory_plan, time_estimate)}")
    if memory_plan.memory.total > memory_plan.available_bytes:
        log("\nto make it fit, change in this order:")
        for change in savings(memory_plan):
            log(f"  {change}")


def _memory_table(memory: MemoryEstimate) -> Table:
    """Return the parts of the peak memory, one per row."""
    table = Table.grid(padding=(0, 2))
    for name, size in memory.peak_parts.items():
        table.add_row(f"  {name}", durable.format_size(size))
    table.add_row("  peak in phase", memory.peak_phase)
    return table

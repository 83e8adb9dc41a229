"""A stage whose process is denied memory once its first checkpoint is saved; run by its test."""

import resource
import sys
from typing import Any

from upbring import durable
from upbring.cli.main import main
from upbring.runs.run_folder import Run
from upbring.stages import execute, run
from upbring.stages.context import StageContext
from upbring.stages.planning.plan import Plan, explain_out_of_memory, plan
from upbring.train.loop import Trainer
from upbring.train.run_log import DiskRunLog, RunLog

MADE: list[Plan] = []
ROOM = 32 * 2**20
perform, train = execute.run_stage, Trainer.train


def planned(cast: StageContext, **more: object) -> Run:
    MADE.append(plan(cast, baseline=durable.process_memory_bytes() or 0))
    return perform(cast, **more)  # type: ignore[arg-type]  # handed on


def cramped(self: Trainer, journal: RunLog) -> None:
    save = journal.save_checkpoint

    def save_and_deny(*given: Any, **more: Any) -> None:
        save(*given, **more)
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- one number
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, held + ROOM))

    journal.save_checkpoint = save_and_deny  # type: ignore[method-assign]  # to see the moment
    assert isinstance(journal, DiskRunLog)
    with explain_out_of_memory(MADE[0], journal.run):
        train(self, journal)


if __name__ == "__main__":
    run.run_stage = planned  # type: ignore[attr-defined]  # where the method finds it
    Trainer.train = cramped  # type: ignore[method-assign]  # as above
    sys.exit(main(sys.argv[1:]))

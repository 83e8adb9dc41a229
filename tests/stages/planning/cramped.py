"""A stage whose process is denied memory once its first checkpoint is saved; run by its test."""

import resource
import sys
from typing import Any

from upbring import durable
from upbring.cli.main import main
from upbring.runs.run_folder import Run
from upbring.stages import execute, run
from upbring.stages.context import Cast
from upbring.stages.planning.plan import Plan, explained_memory, plan
from upbring.train.loop import Training
from upbring.train.run_log import Journal, Kept

MADE: list[Plan] = []
ROOM = 32 * 2**20
perform, train = execute.perform, Training.train


def planned(cast: Cast, **more: object) -> Run:
    MADE.append(plan(cast, before=durable.memory_bytes() or 0))
    return perform(cast, **more)  # type: ignore[arg-type]  # handed on


def cramped(self: Training, journal: Journal) -> None:
    save = journal.save

    def save_and_deny(*given: Any, **more: Any) -> None:
        save(*given, **more)
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- one number
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, held + ROOM))

    journal.save = save_and_deny  # type: ignore[method-assign]  # to see the moment
    assert isinstance(journal, Kept)
    with explained_memory(MADE[0], journal.run):
        train(self, journal)


if __name__ == "__main__":
    run.perform = planned  # type: ignore[attr-defined]  # where the verb finds it
    Training.train = cramped  # type: ignore[method-assign]  # as above
    sys.exit(main(sys.argv[1:]))

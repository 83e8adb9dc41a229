"""What was counted and timed before is found again, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import small
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.context import Cast
from upbring.stages.planning.cache import Memory
from upbring.stages.planning.dry_model import rehearsed
from upbring.stages.planning.estimate import Line, Shape
from upbring.stages.planning.speed_probe import Growth, Pace
from upbring.stages.planning.workload import demanded

PACE = Pace(1e-3, 2e-3, 3e-3, 4e-3, 5e-9, 6e-3, 7e-3, 8e-3)
NOTHING = Line(0.5, 0)
SHAPE = Shape(
    layers=2,
    width=32,
    vocabulary=320,
    number=4,
    weights=5,
    numbers=1_000,
    file=6,
    learned=7,
    is_full=False,
    layer=Line(1, 2),
    outside=NOTHING,
    passing=NOTHING,
    holes=NOTHING,
    looking=NOTHING,
    logits=NOTHING,
    seen=NOTHING,
    rows=8,
    cache=9,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl")
    return tmp_path


def cast(home: Path, **more: object) -> Cast:
    values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
    settings = SftSettings.model_validate({"precision": "float32", **values})
    return rehearsed("sft", Resolved(settings, {}), notice=lambda _: None)


def test_what_was_kept_is_found_by_a_run_of_the_same_kind_alone(home: Path) -> None:
    first = cast(home)
    wanted = demanded(first)
    memory = Memory.of(first, wanted)
    assert (memory.shape, memory.pace) == (None, None)
    memory.knows(shape=SHAPE, pace=PACE)
    again = Memory.of(cast(home, steps=3, learning_rate=0.5, seed=0), wanted)
    assert (again.shape, again.pace) == (SHAPE, PACE)
    for more in ({"rank": 3}, {"precision": "bfloat16"}, {"gradient_checkpointing": True}):
        assert Memory.of(cast(home, **more), wanted).pace is None
    assert Memory.of(first, replace(wanted, growth=Growth(4, 9))).pace is None
    longer = replace(wanted, trees=(max(wanted.trees, key=lambda tree: tree.num_tokens),))
    assert Memory.of(first, longer).path != again.path


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no", '{"shape": {"layers": 1}, "pace": {}}', "\x00"]
)
def test_what_is_damaged_counts_as_unknown(home: Path, text: str) -> None:
    mine = cast(home)
    memory = Memory.of(mine, demanded(mine))
    memory.path.write_text(text)
    assert Memory.of(mine, demanded(mine)).pace is None


def test_a_pace_that_is_no_time_counts_as_unknown(home: Path) -> None:
    mine = cast(home)
    memory = Memory.of(mine, demanded(mine))
    memory.knows(shape=SHAPE, pace=replace(PACE, token=-1.0))
    assert Memory.of(mine, demanded(mine)).pace is None


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(home: Path) -> None:
    memory = Memory(home / "nowhere" / "plan.json")
    memory.knows(shape=SHAPE, pace=PACE)
    assert not memory.path.exists()

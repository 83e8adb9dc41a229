import pytest
import torch

from tests.families import FAMILIES
from upbring.data.trees.tree import tree
from upbring.settings.model import AdapterSettings
from upbring.stages.planning.estimate import Line, Shape
from upbring.stages.planning.memory_probe import Manner
from upbring.stages.planning.speed_probe import Course, Growth, Pace, calibrate, seconds

NOTHING = Line(0, 0)
SHAPE = Shape(
    layers=10,
    width=1,
    vocabulary=1,
    number=4,
    weights=0,
    numbers=1_000,
    file=0,
    learned=1000,
    is_full=False,
    layer=NOTHING,
    outside=NOTHING,
    passing=NOTHING,
    holes=NOTHING,
    looking=NOTHING,
    logits=NOTHING,
    seen=NOTHING,
    rows=1,
    cache=1,
)


def test_seconds_are_those_worked_by_hand() -> None:
    pace = Pace(token=1e-3, glance=4e-4, row=1e-2, seen=3e-3, number=1e-6, word=2e-3)
    course = Course(
        steps=7, tokens=100, rows=50, evaluations=2, held_tokens=40, held_rows=20, words=5
    )
    found = seconds(SHAPE, pace, course)
    assert found.step == pytest.approx(10 * 0.1 + 0.5 + 0.001)
    # 10 layers of 40 tokens and 5 words; 20 rows and a row for each word
    assert found.evaluation == pytest.approx(10 * (0.016 + 0.01) + 25 * 0.003)
    assert found.total == pytest.approx(7 * 1.501 + 2 * 0.335)


def test_seconds_of_rounds_are_those_worked_by_hand() -> None:
    pace = Pace(1e-3, 4e-4, 1e-2, 3e-3, 1e-6, 2e-3, wave=5e-3, draw=1e-2)
    course = Course(
        steps=7,
        tokens=100,
        rows=50,
        voices=2,
        learning=2,
        seen_tokens=300,
        seen_rows=20,
        waves=6,
        held_waves=3,
        once_tokens=1000,
        once_rows=10,
    )
    found = seconds(SHAPE, pace, course)
    # a wave goes through 10 layers and is drawn: 0.06; two voices learn, two adapters step
    assert found.step == pytest.approx(10 * 0.2 + 0.5 + 0.002 + 10 * 0.12 + 0.06 + 6 * 0.06)
    assert found.evaluation == pytest.approx(3 * 0.06)
    assert found.once == pytest.approx(10 * 0.4 + 0.03)
    assert found.total == pytest.approx(7 * found.step + 4.03)


def test_responses_that_grow_are_tried_where_a_stage_has_them() -> None:
    manner = Manner(torch.float32, AdapterSettings(rank=4), False, False, torch.device("cpu"))  # noqa: FBT003 -- as declared
    trees = [tree(range(5), range(7))]
    plain = calibrate(FAMILIES["llama"](), manner, trees, within=0.01)
    assert plain.draw == 0
    pace = calibrate(FAMILIES["llama"](), manner, trees, growth=Growth(4, 12), within=1)
    assert pace.draw > 0
    assert pace.wave > 0


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("is_full", [False, True])
def test_every_pace_is_measured(name: str, *, is_full: bool) -> None:
    manner = Manner(
        torch.bfloat16,
        AdapterSettings(rank=4),
        is_full,
        is_checkpointed=False,
        device=torch.device("cpu"),
    )
    trees = [tree(range(5), range(7)) for _ in range(4)]
    pace = calibrate(FAMILIES[name](), manner, trees, within=0.05)
    paces = (pace.token, pace.glance, pace.row, pace.seen, pace.number, pace.word)
    assert all(0 < each < 1 for each in paces)

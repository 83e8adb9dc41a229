import pytest
import torch

from tests.families import FAMILIES
from upbring.data.trees import tree
from upbring.model.estimate import Line, Shape
from upbring.model.outline import Manner
from upbring.model.pace import Course, Pace, calibrate, seconds
from upbring.settings.model import AdapterSettings

NOTHING = Line(0, 0)
SHAPE = Shape(
    layers=10,
    width=1,
    vocabulary=1,
    number=4,
    weights=0,
    file=0,
    learned=1000,
    is_full=False,
    layer=NOTHING,
    outside=NOTHING,
    passing=NOTHING,
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

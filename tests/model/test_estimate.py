from dataclasses import replace

import pytest

from upbring.model.estimate import FIRST_STEP, Line, Shape, Work, estimate, recomputed

SHAPE = Shape(
    layers=2,
    width=8,
    vocabulary=100,
    number=4,
    weights=1000,
    file=900,
    learned=50,
    is_full=False,
    layer=Line(0, 30),
    outside=Line(10, 5),
    passing=Line(0, 7),
    looking=Line(0, 11),
    logits=Line(20, 400),
    seen=Line(0, 300),
    rows=16,
    cache=64,
)
WORK = Work(tokens=10, rows=4)


def test_the_parts_of_a_step_are_those_worked_by_hand() -> None:
    found = estimate(SHAPE, WORK, before=5000)
    # 2 · 30 · 10 + 10 + 5 · 10 kept; 20 + 400 · 4 of logits, of which 7 · 10 pass by in layers
    # too; 50 learned numbers have 4 bytes, and two moments of 4 bytes; slack is on what passes
    assert found.phase == "learning"
    assert found.parts == {
        "interpreter and libraries": 5000,
        "weights": 1000,
        "adapter": 200,
        "optimiser's moments": 400,
        "activations": 660,
        "logits": 1550,
        "passing by": 70,
        "libraries' first step": FIRST_STEP,
        "slack": 684,  # 0.3 · (660 + 1550 + 70)
    }
    assert found.total == sum(found.parts.values())


def test_more_parts_keep_the_gradients_beside_the_activations() -> None:
    one, two = (estimate(SHAPE, replace(WORK, parts=n)).phases["learning"] for n in (1, 2))
    assert "gradients" not in one
    assert two["gradients"] == 200


def test_full_learning_has_no_adapter_and_a_file_is_mapped_only_while_it_is_read() -> None:
    found = estimate(replace(SHAPE, is_full=True, file=10**9), WORK)
    assert found.phase == "loading"
    assert found.parts == {"weights": 1000, "file being read": 10**9}


@pytest.mark.parametrize("name", ["tokens", "rows", "held_tokens", "sampled", "learning"])
def test_more_of_anything_never_takes_less(name: str) -> None:
    sizes = [
        estimate(SHAPE, replace(WORK, **{name: count})).total for count in (4, 10, 16, 100, 10_000)
    ]
    assert sizes == sorted(sizes)


def test_logits_never_take_more_than_a_chunk() -> None:
    all_rows, chunk = (estimate(SHAPE, replace(WORK, rows=n)).total for n in (10_000, 16))
    assert all_rows == chunk


def test_recomputing_keeps_what_enters_a_layer() -> None:
    again = recomputed(SHAPE)
    assert again.kept.at(10) == 2 * 8 * 4 * 10 + 10 + 50
    assert again.passing.at(10) == 70 + 300

from dataclasses import replace

import pytest

from upbring.stages.planning.estimate import (
    DRAWING,
    FIRST_STEP,
    PRIMITIVE,
    Line,
    Shape,
    Work,
    estimate,
    recomputed,
)

SHAPE = Shape(
    layers=2,
    width=8,
    vocabulary=100,
    number=4,
    weights=1000,
    numbers=1_000,
    file=900,
    learned=50,
    is_full=False,
    layer=Line(0, 30),
    outside=Line(10, 5),
    passing=Line(0, 7),
    holes=Line(0, 0),
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
    # too; 50 learned numbers have 4 bytes, and two moments of 4 bytes; the heap has holes beside
    # what comes and goes, 2280: as much again, for that is little, and three tenths of it
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
        "holes in the heap": 2964,
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


def test_two_voices_keep_twice_and_what_is_beside_them_lies_there() -> None:
    work = replace(WORK, voices=2, learning=2, resting=3, others=10**6, kinds=2)
    found = estimate(SHAPE, work).phases["learning"]
    assert found["activations"] == 2 * 660
    assert found["optimiser's moments"] == 2 * 400
    always = estimate(SHAPE, work).always
    assert always["adapter"] == 5 * 200
    assert always["other models"] == 10**6
    assert always["compiled products"] == 2 * PRIMITIVE


def test_answering_takes_keys_values_and_what_a_draw_needs() -> None:
    found = estimate(SHAPE, replace(WORK, sampled=30, drawn=7)).phases["answering"]
    assert found["keys and values"] == 30 * 64
    assert found["passing by"] == 7 * 100 * DRAWING


def test_layers_that_are_recomputed_leave_holes_that_are_not_counted_twice() -> None:
    shape = replace(SHAPE, holes=Line(0, 9))
    plain, holed = (estimate(each, WORK).phases["learning"] for each in (SHAPE, shape))
    assert holed["holes between recomputed layers"] == 45  # ¼ · 2 layers · 9 · 10 tokens
    assert holed["holes in the heap"] == plain["holes in the heap"]


def test_little_that_comes_and_goes_leaves_as_much_behind_and_much_a_share() -> None:
    few, many = (
        estimate(replace(SHAPE, layer=Line(0, each)), Work(tokens=10**6, rows=0)).phases["learning"]
        for each in (1, 10**4)
    )
    passing = {name: few[name] for name in ("activations", "passing by")}
    assert few["holes in the heap"] == round(1.3 * sum(passing.values()))
    # 2 · 10⁴ · 10⁶ of layers, 5 · 10⁶ + 10 outside, 7 · 10⁶ passing by
    assert many["holes in the heap"] == round(0.3 * (2e10 + 5e6 + 10 + 7e6) + 8e7)


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
    assert again.holes.at(10) == 600  # twice 30 a token

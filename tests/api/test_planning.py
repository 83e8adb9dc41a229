from pathlib import Path

import pytest

import upbring as ub
from tests.api.quick import QUICK, demonstrations

RECIPE = """
model: m
defaults: {steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
"""


@pytest.mark.usefixtures("home")
def test_a_call_is_planned_by_its_function_or_its_name() -> None:
    plan = ub.plan(ub.sft, "m", data=demonstrations(), **QUICK)
    assert plan.fits
    assert 0 < plan.memory_bytes <= plan.available_bytes
    assert plan.seconds > 0
    assert "6 steps" in str(plan)
    assert "--" not in str(plan)
    by_name = ub.plan("sft", "m", demonstrations(), **QUICK)
    assert by_name.memory_bytes == pytest.approx(plan.memory_bytes, rel=0.5)
    assert repr(by_name) == str(by_name)
    assert [path.name for path in Path("runs").iterdir()] == [".rows"]


def test_a_recipe_is_planned(home: Path) -> None:
    (home / "d.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 8)
    (home / "short.yaml").write_text(RECIPE)
    plan = ub.plan("short.yaml", to="out")
    assert "to do: 1 of 1 stage" in str(plan)
    assert plan.seconds > 0
    with pytest.raises(ub.InputError, match=r"^plan: rank does not apply to a recipe"):
        ub.plan("short.yaml", rank=3)


def test_what_cannot_be_planned_is_told() -> None:
    with pytest.raises(ub.InputError, match="is no training function; give one, such as"):
        ub.plan(print)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ub.InputError, match="is no training function; give one, such as"):
        ub.plan(ub.check, [])  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ub.InputError, match="rnak: no such argument; did you mean rank"):
        ub.plan("sft", "m", "d.jsonl", rnak=3)

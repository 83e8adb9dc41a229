"""What was counted and timed before is found again, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import small
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.context import StageContext
from upbring.stages.planning.cache import PlanCache
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.estimate import LinearBytes, MemoryProfile
from upbring.stages.planning.speed_probe import SamplingWorkload, SpeedProfile
from upbring.stages.planning.workload import make_workload

PACE = SpeedProfile(1e-3, 2e-3, 3e-3, 4e-3, 5e-9, 6e-3, 7e-3, 8e-3)
NOTHING = LinearBytes(0.5, 0)
SHAPE = MemoryProfile(
    num_layers=2,
    hidden_size=32,
    vocab_size=320,
    element_bytes=4,
    weight_bytes=5,
    num_parameters=1_000,
    file_bytes=6,
    num_trainable=7,
    is_full=False,
    layer_activations=LinearBytes(1, 2),
    other_activations=NOTHING,
    training_temporaries=NOTHING,
    recomputed_per_layer=NOTHING,
    forward_temporaries=NOTHING,
    training_logits=NOTHING,
    forward_logits=NOTHING,
    max_logit_rows=8,
    kv_cache_per_token=9,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl")
    return tmp_path


def cast(home: Path, **more: object) -> StageContext:
    values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
    settings = SftSettings.model_validate({"dtype": "float32", **values})
    return make_dry_run_context("sft", Resolved(settings, {}), log=lambda _: None)


def test_what_was_kept_is_found_by_a_run_of_the_same_kind_alone(home: Path) -> None:
    first = cast(home)
    wanted = make_workload(first)
    memory = PlanCache.load(first, wanted)
    assert (memory.memory_profile, memory.speed_profile) == (None, None)
    memory.save(memory_profile=SHAPE, speed_profile=PACE)
    again = PlanCache.load(cast(home, steps=3, learning_rate=0.5, seed=0), wanted)
    assert (again.memory_profile, again.speed_profile) == (SHAPE, PACE)
    for more in ({"rank": 3}, {"dtype": "bfloat16"}, {"gradient_checkpointing": True}):
        assert PlanCache.load(cast(home, **more), wanted).speed_profile is None
    assert (
        PlanCache.load(first, replace(wanted, sampling=SamplingWorkload(4, 9))).speed_profile
        is None
    )
    longer = replace(wanted, trees=(max(wanted.trees, key=lambda tree: tree.num_tokens),))
    assert PlanCache.load(first, longer).path != again.path


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no", '{"shape": {"layers": 1}, "pace": {}}', "\x00"]
)
def test_what_is_damaged_counts_as_unknown(home: Path, text: str) -> None:
    mine = cast(home)
    memory = PlanCache.load(mine, make_workload(mine))
    memory.path.write_text(text)
    assert PlanCache.load(mine, make_workload(mine)).speed_profile is None


def test_a_pace_that_is_no_time_counts_as_unknown(home: Path) -> None:
    mine = cast(home)
    memory = PlanCache.load(mine, make_workload(mine))
    memory.save(memory_profile=SHAPE, speed_profile=replace(PACE, train_token=-1.0))
    assert PlanCache.load(mine, make_workload(mine)).speed_profile is None


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(home: Path) -> None:
    memory = PlanCache(home / "nowhere" / "plan.json")
    memory.save(memory_profile=SHAPE, speed_profile=PACE)
    assert not memory.path.exists()

import pytest
import torch

from tests.families import FAMILIES
from upbring.data.trees.tree import make_tree
from upbring.settings.model import AdapterSettings
from upbring.stages.planning.estimate import LinearBytes, MemoryProfile
from upbring.stages.planning.memory_probe import ProbeConfig
from upbring.stages.planning.speed_probe import (
    SamplingWorkload,
    SpeedProfile,
    TimeWorkload,
    estimate_seconds,
    measure_speed,
)

NOTHING = LinearBytes(0, 0)
SHAPE = MemoryProfile(
    num_layers=10,
    hidden_size=1,
    vocab_size=1,
    element_bytes=4,
    weight_bytes=0,
    num_parameters=1_000,
    file_bytes=0,
    num_trainable=1000,
    is_full=False,
    layer_activations=NOTHING,
    other_activations=NOTHING,
    training_temporaries=NOTHING,
    recomputed_per_layer=NOTHING,
    forward_temporaries=NOTHING,
    training_logits=NOTHING,
    forward_logits=NOTHING,
    max_logit_rows=1,
    kv_cache_per_token=1,
)


def test_seconds_are_those_worked_by_hand() -> None:
    speed = SpeedProfile(
        train_token=1e-3,
        forward_token=4e-4,
        train_row=1e-2,
        forward_row=3e-3,
        update_parameter=1e-6,
        decode_token=2e-3,
    )
    workload = TimeWorkload(
        steps=7,
        step_tokens=100,
        step_rows=50,
        evaluations=2,
        eval_tokens=40,
        eval_rows=20,
        eval_decode_tokens=5,
    )
    found = estimate_seconds(SHAPE, speed, workload)
    assert found.step == pytest.approx(10 * 0.1 + 0.5 + 0.001)
    # 10 layers of 40 tokens and 5 words; 20 rows and a row for each word
    assert found.evaluation == pytest.approx(10 * (0.016 + 0.01) + 25 * 0.003)
    assert found.total == pytest.approx(7 * 1.501 + 2 * 0.335)


def test_seconds_of_rounds_are_those_worked_by_hand() -> None:
    speed = SpeedProfile(1e-3, 4e-4, 1e-2, 3e-3, 1e-6, 2e-3, decode_step=5e-3, sample_step=1e-2)
    workload = TimeWorkload(
        steps=7,
        step_tokens=100,
        step_rows=50,
        passes_per_token=2,
        trainable_adapters=2,
        scored_tokens=300,
        scored_rows=20,
        decode_steps=6,
        eval_decode_steps=3,
        setup_tokens=1000,
        setup_rows=10,
    )
    found = estimate_seconds(SHAPE, speed, workload)
    # a decoding step runs 10 layers and samples: 0.06; two adapters are trained
    assert found.step == pytest.approx(10 * 0.2 + 0.5 + 0.002 + 10 * 0.12 + 0.06 + 6 * 0.06)
    assert found.evaluation == pytest.approx(3 * 0.06)
    assert found.setup == pytest.approx(10 * 0.4 + 0.03)
    assert found.total == pytest.approx(7 * found.step + 4.03)


def test_sampling_speed_is_measured_only_for_stages_that_sample() -> None:
    manner = ProbeConfig(torch.float32, AdapterSettings(rank=4), False, False, torch.device("cpu"))  # noqa: FBT003 -- as declared
    trees = [make_tree(range(5), range(7))]
    plain = measure_speed(FAMILIES["llama"](), manner, trees, max_seconds=0.01)
    assert plain.sample_step == 0
    speed = measure_speed(
        FAMILIES["llama"](), manner, trees, sampling=SamplingWorkload(4, 12), max_seconds=1
    )
    assert speed.sample_step > 0
    assert speed.decode_step > 0


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("is_full", [False, True])
def test_every_speed_is_measured(name: str, *, is_full: bool) -> None:
    manner = ProbeConfig(
        torch.bfloat16,
        AdapterSettings(rank=4),
        is_full,
        is_checkpointed=False,
        device=torch.device("cpu"),
    )
    trees = [make_tree(range(5), range(7)) for _ in range(4)]
    speed = measure_speed(FAMILIES[name](), manner, trees, max_seconds=0.05)
    speeds = (
        speed.train_token,
        speed.forward_token,
        speed.train_row,
        speed.forward_row,
        speed.update_parameter,
        speed.decode_token,
    )
    assert all(0 < each < 1 for each in speeds)

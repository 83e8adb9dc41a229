from dataclasses import replace

import pytest

from upbring.stages.planning.estimate import (
    FIRST_STEP_BYTES,
    KERNEL_BYTES,
    LIBRARIES,
    SAMPLING_BYTES_PER_LOGIT,
    LinearBytes,
    MemoryProfile,
    MemoryWorkload,
    estimate_memory,
    with_gradient_checkpointing,
)

SHAPE = MemoryProfile(
    num_layers=2,
    hidden_size=8,
    vocab_size=100,
    element_bytes=4,
    weight_bytes=1000,
    num_parameters=1_000,
    file_bytes=900,
    num_trainable=50,
    is_full=False,
    layer_activations=LinearBytes(0, 30),
    other_activations=LinearBytes(10, 5),
    training_temporaries=LinearBytes(0, 7),
    recomputed_per_layer=LinearBytes(0, 0),
    forward_temporaries=LinearBytes(0, 11),
    training_logits=LinearBytes(20, 400),
    forward_logits=LinearBytes(0, 300),
    max_logit_rows=16,
    kv_cache_per_token=64,
)
WORK = MemoryWorkload(train_tokens=10, train_rows=4)


def test_the_parts_of_a_step_are_those_worked_out_by_hand() -> None:
    found = estimate_memory(SHAPE, WORK, baseline=5000)
    # activations 2 · 30 · 10 + 10 + 5 · 10; logits 20 + 400 · 4, of which the temporaries of the
    # layers, 7 · 10, are part; 50 trained parameters of 4 bytes, and two moments of 4 bytes; the
    # fragmentation of 2280 bytes is as much again, because that is little, and three tenths
    assert found.peak_phase == "training"
    assert found.peak_parts == {
        LIBRARIES: 5000,
        "weights": 1000,
        "adapters": 200,
        "optimizer moments": 400,
        "activations": 660,
        "logits": 1550,
        "temporary tensors": 70,
        "first-step buffers": FIRST_STEP_BYTES,
        "fragmentation": 2964,
    }
    assert found.total == sum(found.peak_parts.values())


def test_several_micro_batches_hold_gradients_next_to_activations() -> None:
    one, two = (
        estimate_memory(SHAPE, replace(WORK, micro_batches=n)).phases["training"] for n in (1, 2)
    )
    assert "gradients" not in one
    assert two["gradients"] == 200


def test_full_fine_tuning_has_no_adapter_and_a_file_is_mapped_only_while_it_is_loaded() -> None:
    found = estimate_memory(replace(SHAPE, is_full=True, file_bytes=10**9), WORK)
    assert found.peak_phase == "loading"
    assert found.peak_parts == {"weights": 1000, "weights file": 10**9}


def test_two_passes_save_twice_and_other_models_are_held_all_the_time() -> None:
    work = replace(
        WORK,
        passes_per_token=2,
        trainable_adapters=2,
        frozen_adapters=3,
        other_model_bytes=10**6,
        compiled_shapes=2,
    )
    found = estimate_memory(SHAPE, work).phases["training"]
    assert found["activations"] == 2 * 660
    assert found["optimizer moments"] == 2 * 400
    always = estimate_memory(SHAPE, work).constant
    assert always["adapters"] == 5 * 200
    assert always["other models"] == 10**6
    assert always["compiled kernels"] == 2 * KERNEL_BYTES


def test_sampling_needs_a_kv_cache_and_rows_of_logits() -> None:
    found = estimate_memory(
        SHAPE, replace(WORK, kv_cache_tokens=30, concurrent_responses=7)
    ).phases["sampling"]
    assert found["KV cache"] == 30 * 64
    assert found["temporary tensors"] == 7 * 100 * SAMPLING_BYTES_PER_LOGIT


def test_recomputed_layers_fragment_the_heap_and_are_not_counted_twice() -> None:
    shape = replace(SHAPE, recomputed_per_layer=LinearBytes(0, 9))
    plain, holed = (estimate_memory(each, WORK).phases["training"] for each in (SHAPE, shape))
    assert holed["fragmentation by recomputation"] == 45  # ¼ · 2 layers · 9 · 10 tokens
    assert holed["fragmentation"] == plain["fragmentation"]


def test_few_temporaries_fragment_as_much_again_and_many_a_share() -> None:
    few, many = (
        estimate_memory(
            replace(SHAPE, layer_activations=LinearBytes(0, each)),
            MemoryWorkload(train_tokens=10**6, train_rows=0),
        ).phases["training"]
        for each in (1, 10**4)
    )
    passing = {name: few[name] for name in ("activations", "temporary tensors")}
    assert few["fragmentation"] == round(1.3 * sum(passing.values()))
    # 2 · 10⁴ · 10⁶ of layers, 5 · 10⁶ + 10 outside, 7 · 10⁶ of temporaries
    assert many["fragmentation"] == round(0.3 * (2e10 + 5e6 + 10 + 7e6) + 8e7)


@pytest.mark.parametrize(
    "name",
    ["train_tokens", "train_rows", "forward_tokens", "kv_cache_tokens", "trainable_adapters"],
)
def test_more_of_anything_never_takes_less(name: str) -> None:
    sizes = [
        estimate_memory(SHAPE, replace(WORK, **{name: count})).total
        for count in (4, 10, 16, 100, 10_000)
    ]
    assert sizes == sorted(sizes)


def test_logits_never_take_more_than_a_chunk() -> None:
    all_rows, chunk = (
        estimate_memory(SHAPE, replace(WORK, train_rows=n)).total for n in (10_000, 16)
    )
    assert all_rows == chunk


def test_gradient_checkpointing_saves_the_input_of_a_layer() -> None:
    again = with_gradient_checkpointing(SHAPE)
    assert again.activations.bytes_for(10) == 2 * 8 * 4 * 10 + 10 + 50
    assert again.training_temporaries.bytes_for(10) == 70 + 300
    assert again.recomputed_per_layer.bytes_for(10) == 600  # twice 30 a token

"""The workload of a stage that is trained on rows of files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import small
from upbring.data.trees.tree import Branch, Tree
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.workload import (
    count_compiled_shapes,
    largest_micro_batch,
    spread_steps,
    typical_first,
    workload_from_rows,
)
from upbring.train import devices


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demand")
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl")
    return folder


def make_context(home: Path, **more: object) -> StageContext:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
        settings = SftSettings.model_validate({"dtype": "float32", **values})
        return make_dry_run_context("sft", Resolved(settings, {}), log=lambda _: None)


def of(prompt: int, *branches: int) -> Tree:
    made = tuple(Branch(np.zeros(c, np.int32), np.ones(c, np.float32)) for c in branches)
    return Tree(np.zeros(prompt, np.int32), made, "")


def test_the_largest_micro_batch_and_the_mean_step_are_found(home: Path) -> None:
    found = workload_from_rows(make_context(home, batch_size=38, micro_batch_tokens=100))
    whole = workload_from_rows(make_context(home, batch_size=38))
    # each step is trained on every row: its tokens are those of all micro-batches
    assert found.time.step_tokens == whole.time.step_tokens == whole.memory.train_tokens
    assert found.time.step_rows == whole.memory.train_rows
    assert whole.memory.micro_batches == 1
    assert found.memory.micro_batches >= whole.memory.train_tokens / 100
    assert found.memory.train_tokens <= 100


def test_evaluations_sample_responses_to_the_sample_prompts(home: Path) -> None:
    plain = workload_from_rows(make_context(home, sample_tokens=9))  # prompts of two held-out rows
    assert plain.time.eval_decode_tokens == 9
    assert plain.memory.concurrent_responses == 2
    one = workload_from_rows(make_context(home, sample_tokens=9, sample_prompts=("What is red?",)))
    assert one.memory.concurrent_responses == 1
    assert one.memory.kv_cache_tokens < plain.memory.kv_cache_tokens


def test_kernels_are_cached_in_bfloat16_only_and_up_to_the_capacity_of_the_cache(
    home: Path,
) -> None:
    trees = [of(3, 4), of(3, 4), of(9, 1)]
    assert count_compiled_shapes(make_context(home), trees, 2) == 0
    half = make_context(home, dtype="bfloat16")
    assert half.machine.compute_dtype == torch.bfloat16
    assert count_compiled_shapes(half, trees, 2) == 2 * 30 + 2 * 6  # two batches, two lengths
    assert count_compiled_shapes(half, trees, 10_000) == devices.ONEDNN_CACHE_CAPACITY


def test_the_largest_group_and_the_typical_tree() -> None:
    assert largest_micro_batch([[of(3, 4), of(1, 1)], [of(2, 10)]]) == (12, 10)
    assert largest_micro_batch([]) == (0, 0)
    # (10² + 10² + 40²) / 60 = 30: a token lies in a tree of 30 on average
    trees = [of(5, 5), of(5, 5), of(20, 20)]
    assert typical_first(trees)[0] is trees[2]


def test_few_steps_are_all_sampled() -> None:
    assert spread_steps(1) == [0]
    assert spread_steps(200) == list(range(200))

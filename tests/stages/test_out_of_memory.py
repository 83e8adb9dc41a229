"""Out-of-memory errors become advice."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests import small
from upbring.durable import is_out_of_memory
from upbring.errors import ResourceError
from upbring.runs.run_folder import Run
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.out_of_memory import explain_out_of_memory
from upbring.train import checkpoint

CPU_IS_FULL = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000 bytes. Error code 12 (Cannot allocate memory)"
)
# A model that is not there cannot be planned.
UNPLANNABLE = Resolved(SftSettings(model="nowhere", data=(Path("d.jsonl"),)), {})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CPU_IS_FULL, True),
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes differ"), False),
        (OSError(errno.ENOSPC, "No space left"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_out_of_memory_errors_are_recognized(error: Exception, *, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_plan_is_computed_from_the_configuration(tmp_path: Path) -> None:
    small.make_model(tmp_path / "m")
    data = small.make_demonstrations(tmp_path / "d.jsonl")
    settings = SftSettings(model=str(tmp_path / "m"), data=(data,), threads=1, dtype="float32")
    with pytest.raises(ResourceError) as found:  # noqa: SIM117 -- the inner one is tested
        with explain_out_of_memory("sft", Resolved(settings, {}), baseline=10**9):
            raise CPU_IS_FULL
    first, *changes = str(found.value).splitlines()
    assert first.startswith("out of memory: this run needs about 1.")  # 1 GB and the model
    assert " GB, and the machine has " in first
    flags = [change.split()[0].rstrip(":") for change in changes]
    assert flags == ["--micro-batch-tokens", "--gradient-checkpointing", "--dtype", "--rank"]
    assert all(change.endswith(" less") for change in changes)


def test_advice_without_a_plan_names_the_settings_in_order() -> None:
    with pytest.raises(ResourceError) as found, explain_out_of_memory("sft", UNPLANNABLE):
        raise CPU_IS_FULL
    first, *changes = str(found.value).splitlines()
    assert first.startswith("out of memory (tried to allocate 4000000000 bytes); ")
    assert [change.split()[0].rstrip(",") for change in changes] == [
        "--micro-batch-tokens",
        "--gradient-checkpointing",
        "--dtype",
    ], "an adapter is trained already"
    assert found.value.exit_code == 3


def test_other_errors_pass() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes differ"),
        explain_out_of_memory("sft", UNPLANNABLE),
    ):
        raise RuntimeError("shapes differ")


def test_a_checkpoint_is_named_if_there_is_one(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def message() -> str:
        with (
            pytest.raises(ResourceError) as found,
            explain_out_of_memory("sft", UNPLANNABLE, run=run),
        ):
            raise MemoryError
        return str(found.value)

    assert "(no memory left)" in message()
    assert "kept" not in message()
    state = checkpoint.State(4, {}, {})
    checkpoint.save(run.checkpoints, state, identity={}, keep=2)
    assert "the checkpoint of step 4 is kept" in message()


def test_the_tensors_of_the_failed_step_are_freed_before_the_plan() -> None:
    freed = []

    class Activation:
        def __del__(self) -> None:
            freed.append(True)

    def step() -> None:
        activation = Activation()
        raise MemoryError(id(activation))

    with pytest.raises(ResourceError), explain_out_of_memory("sft", UNPLANNABLE):
        step()
    assert freed


def test_training_does_not_import_planning() -> None:
    modules = ("train_or_resume", "run_stage", "context", "sft", "preference", "reward_model", "rl")
    program = (
        f"import sys, {', '.join(f'upbring.stages.{name}' for name in modules)}; "
        "print(*(name for name in sys.modules if name.startswith('upbring.stages.planning')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""

import os

import pytest
import torch

from upbring.errors import InputError
from upbring.settings.model import ModelSettings
from upbring.train import devices


def test_the_machine_is_prepared_as_asked() -> None:
    before = torch.get_num_threads()
    machine = devices.prepare(ModelSettings(model="x", device="cpu", threads=1, dtype="float32"))
    assert machine == devices.Machine(torch.device("cpu"), torch.float32, 1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_threads_are_those_of_the_environment_or_a_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    for given, processes, expected in [
        ("3", "1", 3),
        ("3", "2", 4),
        ("", "1", 8),
        ("0", "1", 8),
        ("two", "1", 8),
        ("1", "16", 1),
    ]:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert devices.default_threads() == expected


def test_bfloat16_is_taken_where_it_is_native() -> None:
    cpu = torch.device("cpu")
    expected = torch.bfloat16 if devices.has_native_bfloat16(cpu) else torch.float32
    assert devices.choose_compute_dtype("auto", cpu) == expected
    assert devices.choose_compute_dtype("bfloat16", cpu) == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported() -> None:
    with pytest.raises(InputError, match="there is no GPU"):
        devices.choose_device("cuda")


def test_the_kernel_cache_is_bounded_unless_the_user_sets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LRU_CACHE_CAPACITY", raising=False)
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    devices.limit_onednn_cache()
    assert os.environ["LRU_CACHE_CAPACITY"] == "16"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"

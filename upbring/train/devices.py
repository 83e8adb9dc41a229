"""Where and how to compute: device, number format, threads, allocator.

Several processes are `processes`' part.
"""

import ctypes
import os
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.utils.deterministic

from upbring.errors import InputError
from upbring.runs.environment import total_memory_bytes, usable_cores
from upbring.settings.model import ModelSettings

# glibc's mallopt: keep freed memory instead of returning it page by page. Fresh pages cost
# 25–55 ms for 64 MB, kept ones 2 ms (measured on 2 cores).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4

# oneDNN compiles a product of bfloat16 for each shape and keeps 1,024 of them, 0.3 MB each, twice
# over. Texts differ in length, so that most never come back: 12 steps of 12,000 tokens took 1.5 GB
# with what it keeps by itself, 0.9 GB with a quarter of it, in the same processor time (2 cores).
ONEDNN_CACHE_CAPACITY = 512
_ONEDNN_VARIABLES = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(ONEDNN_CACHE_CAPACITY),
    "LRU_CACHE_CAPACITY": "16",
}

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process computes with."""

    device: torch.device
    compute_dtype: torch.dtype
    threads: int


def prepare(settings: ModelSettings) -> Machine:
    """Set allocator and threads, before the first large tensor, and return what was chosen."""
    # LoRA computes the gradient of B transposed, which is faster
    warnings.filterwarnings("ignore", message="grad and param do not obey")
    retain_freed_memory()
    limit_onednn_cache()
    device = choose_device(settings.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun's
        torch.cuda.set_device(device)
        enable_determinism()
    threads = settings.threads or max(1, usable_cores() // local_world_size())
    torch.set_num_threads(threads)
    return Machine(device, choose_compute_dtype(settings.dtype, device), threads)


def retain_freed_memory() -> bool:
    """Tell the C library to keep freed memory; return whether it could be told."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20))
    return all(libc.mallopt(name, value) for name, value in options)


def enable_determinism() -> None:
    """Ask a GPU's libraries to add in the same order each time, so that a resumed run is the same.

    What cannot is warned of by torch and goes on: the fused backward pass of attention says that it
    may not. Short texts came out the same twice (docs/log.md); long ones were not tried.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)  # it says of itself that it is not exact
    # Memory that nobody reads before it is written need not be filled.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of its module


def limit_onednn_cache() -> None:
    """Tell oneDNN how many compiled products to keep, before the first; the user's word counts."""
    for name, value in _ONEDNN_VARIABLES.items():
        os.environ.setdefault(name, value)


def choose_device(requested: str) -> torch.device:
    """Return the device that `requested` means on this machine."""
    has_gpu = torch.cuda.is_available()
    if requested == "cuda" and not has_gpu:
        raise InputError("device: cuda was asked for and there is no GPU; use cpu or auto")
    return torch.device(
        "cuda" if requested == "cuda" or (requested == "auto" and has_gpu) else "cpu"
    )


def choose_compute_dtype(requested: str, device: torch.device) -> torch.dtype:
    """Return the number format of products that `requested` means on `device`."""
    if requested == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[requested]


def total_memory(device: torch.device) -> int:
    """Return the bytes of the GPU, or this process's part of the machine's: always the same."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [total_memory_bytes(), *_container_limit()]
    return min(limits) // local_world_size()


def local_world_size() -> int:
    """Return how many processes share this machine, as whoever started them says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _container_limit() -> list[int]:
    try:
        return [int(CONTAINER_LIMIT.read_text(encoding="ascii"))]
    except (OSError, ValueError):  # no such file, or "max"
        return []


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 natively, at 3–4 times the rate of float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in tests)

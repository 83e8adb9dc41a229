"""Device, dtype, threads and allocator.

Distributed training is in `processes`.
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
from upbring.runs.environment import (
    NO_GPU,
    reject_missing_gpu,
    total_memory_bytes,
    usable_cores,
)
from upbring.settings.model import ModelSettings

# glibc's mallopt: keep freed memory instead of returning it page by page. Fresh pages cost
# 25–55 ms for 64 MB, kept ones 2 ms (measured on 2 cores).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

# oneDNN compiles a bfloat16 matrix product for each shape and caches 1,024 by default, 0.3 MB
# each, twice. Texts differ in length, so most shapes never recur: 12 steps of 12,000 tokens took
# 1.5 GB with the default, 0.9 GB with a quarter of it, in the same CPU time (measured on 2 cores).
ONEDNN_CACHE_CAPACITY = 512
_ONEDNN_VARIABLES = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(ONEDNN_CACHE_CAPACITY),
    "LRU_CACHE_CAPACITY": "16",
}

# Variables that this module and `processes` set where the user did not.
CHANGED_VARIABLES = (
    "THP_MEM_ALLOC_ENABLE",
    "CUBLAS_WORKSPACE_CONFIG",
    "GLOO_SOCKET_IFNAME",
    "NCCL_SOCKET_IFNAME",
    *_ONEDNN_VARIABLES,
)

CPU_BUILD = (
    "device: cuda is requested, and the installed torch is built for CPUs only; install a torch "
    "for your GPU, or use cpu or auto"
)
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Machine:
    """The device, the compute dtype and the threads of this process."""

    device: torch.device
    compute_dtype: torch.dtype
    threads: int


def prepare(settings: ModelSettings) -> Machine:
    """Configure allocator, device and threads; call it before the first large tensor."""
    # LoRA computes the gradient of B transposed, because that is faster
    warnings.filterwarnings("ignore", message="grad and param do not obey")
    retain_freed_memory()
    limit_onednn_cache()
    device = choose_device(settings.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # set by torchrun
        torch.cuda.set_device(device)
        enable_determinism()
    threads = settings.threads or default_threads()
    torch.set_num_threads(threads)
    return Machine(device, choose_compute_dtype(settings.dtype, device), threads)


def default_threads() -> int:
    """Return OMP_NUM_THREADS if it is set, else this process's share of the cores.

    With several processes the variable is not the user's: torchrun sets it to 1.
    """
    given, num_processes = os.environ.get("OMP_NUM_THREADS", ""), local_world_size()
    if num_processes == 1 and given.isdecimal() and int(given) > 0:
        return int(given)
    return max(1, usable_cores() // num_processes)


def retain_freed_memory() -> bool:
    """Make the C library keep freed memory; return whether that is supported."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20))
    return all(libc.mallopt(name, value) for name, value in options)


def enable_determinism() -> None:
    """Use deterministic GPU kernels, so that a resumed run gives identical results.

    torch only warns about operations without a deterministic kernel, such as the fused backward
    pass of attention. Short texts gave identical results twice (docs/log.md); long texts are
    untested.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)  # torch reports it as nondeterministic
    # No code reads uninitialized memory, so filling it only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of its module


def limit_onednn_cache() -> None:
    """Limit oneDNN's kernel cache, unless the user set it; call it before the first product."""
    for name, value in _ONEDNN_VARIABLES.items():
        os.environ.setdefault(name, value)


def choose_device(requested: str) -> torch.device:
    """Return the device that `requested` means on this machine."""
    has_gpu = torch.cuda.is_available()
    if requested == "cuda" and not has_gpu:
        reject_missing_gpu()
        is_cpu_build = torch.version.cuda is None and torch.version.hip is None
        raise InputError(CPU_BUILD if is_cpu_build else NO_GPU)
    return torch.device(
        "cuda" if requested == "cuda" or (requested == "auto" and has_gpu) else "cpu"
    )


def choose_compute_dtype(requested: str, device: torch.device) -> torch.dtype:
    """Return the compute dtype that `requested` means on `device`."""
    if requested == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[requested]


def total_memory(device: torch.device) -> int:
    """Return the bytes of memory: the GPU's, or this process's share of the machine's total."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [total_memory_bytes(), *_container_limit()]
    return min(limits) // local_world_size()


def local_world_size() -> int:
    """Return the number of processes on this machine, which the launcher sets."""
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

"""The machine and the library versions of a run, needed to reproduce its numbers.

Versions are read without importing the libraries. No user name is recorded; the home folder is
written as `~`.
"""

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

from upbring.durable import JSON
from upbring.errors import InputError

PACKAGES = ("upbring", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")
# They select the compute kernels, so the exact results depend on them.
VECTOR_INSTRUCTIONS = frozenset(
    {
        "avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni",
        "avx_vnni", "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "bf16", "i8mm", "sve",
        "sve2", "sme",
    }
)  # fmt: skip

DEVICES = Path("/dev")
GPU_DEVICE_FILES = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg", "kfd")
NO_GPU = "device: cuda is requested and there is no GPU; use cpu or auto"


def collect_environment(*, extra: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
    """Return the content of `environment.json`; `extra` adds entries from higher layers."""
    return {
        "python": platform.python_version(),
        "packages": {name: _package_version(name) for name in PACKAGES},
        "commit": git_commit(Path(__file__).parents[2]),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "instructions": vector_instructions(),
        "memory_bytes": total_memory_bytes(),
        **(extra or {}),
    }


def reject_missing_gpu() -> None:
    """Raise an InputError if this machine surely has no GPU; only torch knows whether it has one.

    On Linux a GPU that CUDA or ROCm can use has a device file.
    """
    if sys.platform == "linux" and not any(
        path for pattern in GPU_DEVICE_FILES for path in DEVICES.glob(pattern)
    ):
        raise InputError(NO_GPU)


def redact_home(text: str) -> str:
    """Return `text` with the home folder written as `~`."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return text
    if len(home) <= 1:  # a container without a home reports `/`, which is in every path
        return text
    return re.sub(rf"{re.escape(home)}(?=[/\\]|$)", "~", text)


def processor_name() -> str:
    """Return the processor's name."""
    return (
        _read_cpuinfo("model name") or _read_cpuinfo("Model") or platform.processor() or "unknown"
    )


def usable_cores() -> int:
    """Return the number of logical processors available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def vector_instructions() -> list[str]:
    """Return the processor's vector instructions, or an empty list if they are unknown."""
    flags = (_read_cpuinfo("flags") or _read_cpuinfo("Features") or "").split()
    return sorted(VECTOR_INSTRUCTIONS & set(flags))


def total_memory_bytes() -> int:
    """Return the memory of the machine."""
    return int(psutil.virtual_memory().total)


def git_commit(root: Path) -> str | None:
    """Return the git commit of the checkout at `root`, without running git; None if none."""
    try:
        head = (root / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        ref_file = root / ".git" / name
        if ref_file.exists():
            return ref_file.read_text(encoding="utf-8").strip()
        packed_refs = (root / ".git" / "packed-refs").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
    match = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", packed_refs, re.MULTILINE)
    return match[1] if match else None


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read_cpuinfo(key: str) -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None

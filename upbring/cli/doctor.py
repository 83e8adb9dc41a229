"""`upbring doctor`: whether this machine can train, in a block to paste into a bug report.

Does not use the network and leaves no files. The home folder is written as `~`.
"""

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.table import Table

from upbring import __version__, durable
from upbring.data.trees.store import cache_folder
from upbring.errors import InputError, ResourceError, UpbringError
from upbring.runs.environment import collect_environment, redact_home, usable_cores
from upbring.settings.commands.doctor import DoctorSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console

NUM_SAVES = 5  # small files; the median time measures how fast the disk syncs
SLOW_SYNC_SECONDS = 0.2  # seconds
MIN_FREE_DISK, MIN_FREE_MEMORY = 2 * 10**9, 10**9
MATRIX_SIZE = 1024  # side of the matrices that are multiplied
MIN_BFLOAT16_RATIO = 0.8  # of float32's rate; below it, bfloat16 is not worth it


@dataclass(frozen=True, slots=True)
class MachineProblem:
    """A problem to fix: where, what was found, what to do."""

    text: str
    error_type: type[UpbringError] | None = None  # the error, if no training is possible


def run(resolved: Resolved[DoctorSettings]) -> None:
    """Print the facts and the problems to fix; fail if training is impossible."""
    settings = resolved.settings
    problems: list[MachineProblem] = []
    facts = [
        *_check_versions(problems.append),
        *_check_machine(problems.append),
        *_check_disk("run folder", settings.runs, problems.append),
        *_check_disk("cache folder", _check_cache(problems.append), problems.append),
        *_check_processor(settings.seconds, problems.append),
    ]
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    for name, text in facts:
        table.add_row(name, redact_home(text))
    console.print(table, soft_wrap=True)
    for problem in problems:
        if problem.error_type is None:
            console.print(f"! {redact_home(problem.text)}", markup=False, soft_wrap=True)
    console.file.flush()
    if fatal := [problem for problem in problems if problem.error_type is not None]:
        error_type = fatal[0].error_type or InputError
        raise error_type("\n".join(redact_home(problem.text) for problem in fatal))
    console.print("this machine can train", markup=False)


ReportProblem = Callable[[MachineProblem], None]


def _check_versions(report: ReportProblem) -> Iterator[tuple[str, str]]:
    machine = collect_environment()
    yield "python", f"{machine['python']} on {machine['platform']}"
    packages = machine["packages"]
    assert isinstance(packages, dict), "environment names packages"
    for name, version in packages.items():
        yield name, str(version or (__version__ if name == "upbring" else "missing"))
        if version is None and name != "upbring":
            fix = f"install it with `pip install {name}`"
            report(MachineProblem(f"{name}: is not installed; {fix}", InputError))


def _check_machine(report: ReportProblem) -> Iterator[tuple[str, str]]:
    from upbring.train import devices  # noqa: PLC0415 -- torch is heavy

    machine = collect_environment()
    yield "processor", str(machine["processor"])
    yield "instructions", " ".join(map(str, _as_list(machine["instructions"]))) or "unknown"
    yield "cores", f"{usable_cores()} of {machine['cores']} may be used"
    available = psutil.virtual_memory().available
    total_text = durable.format_size(devices.total_memory(devices.choose_device("cpu")))
    yield "memory", f"{total_text}, {durable.format_size(available)} of it available"
    if available < MIN_FREE_MEMORY:
        problem = f"only {durable.format_size(available)} are available"
        report(MachineProblem(f"memory: {problem}; end other programs", ResourceError))
    yield "allocator", "keeps freed memory" if devices.retain_freed_memory() else "the system's own"


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _check_cache(report: ReportProblem) -> Path:
    """Return the cache folder, or the folder that should contain it."""
    messages: list[str] = []
    folder = cache_folder(log=messages.append)
    if messages:
        shutil.rmtree(folder, ignore_errors=True)  # the temporary replacement
        match = re.search(r"is not writable \((.+)\); encoded", messages[0])
        reason = match[1] if match else messages[0]
        report(
            MachineProblem(
                f"cache folder cannot be written: {reason}; set UPBRING_CACHE to a folder that can "
                "be written, otherwise rows are tokenized again in each run"
            )
        )
        return folder.parent
    return folder


def _check_disk(name: str, folder: Path, report: ReportProblem) -> Iterator[tuple[str, str]]:
    """Yield the path of a folder, its free space and how fast it syncs."""
    existing = next(
        candidate for candidate in (folder, *folder.absolute().parents) if candidate.exists()
    )
    free = shutil.disk_usage(existing).free
    try:
        seconds = measure_sync_seconds(existing)
    except (OSError, UpbringError) as error:
        yield name, f"{folder.absolute()}: cannot be written"
        reason = getattr(error, "strerror", None) or str(error)
        fix = "change its permissions, or choose another with --runs"
        report(
            MachineProblem(f"{name} {existing}: cannot be written ({reason}); {fix}", InputError)
        )
        return
    text = f"{durable.format_size(free)} free, a small save takes {1000 * seconds:.1f} ms"
    yield name, f"{folder.absolute()}: {text}"
    if free < MIN_FREE_DISK:
        report(
            MachineProblem(
                f"{name} {existing}: {durable.format_size(free)} free; make room for checkpoints"
            )
        )
    if seconds > SLOW_SYNC_SECONDS:
        report(
            MachineProblem(
                f"{name} {existing}: syncs slowly ({seconds:.1f} s); choose a local disk"
            )
        )


def measure_sync_seconds(folder: Path) -> float:
    """Return the median seconds of a small durable save; no file remains."""
    durations = []
    with tempfile.TemporaryDirectory(prefix=".upbring-doctor-", dir=folder) as scratch:
        for number in range(NUM_SAVES):
            started_at = time.perf_counter()
            durable.write_text(Path(scratch) / f"{number}.txt", "saved\n")
            durations.append(time.perf_counter() - started_at)
    return statistics.median(durations)


def _check_processor(seconds: float, report: ReportProblem) -> Iterator[tuple[str, str]]:
    """Yield the GPU and the speed of matrix products in each dtype."""
    import torch  # noqa: PLC0415 -- torch is heavy

    from upbring.train import devices  # noqa: PLC0415 -- as above

    device = devices.choose_device("auto")
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        yield "gpu", f"{properties.name}, {durable.format_size(properties.total_memory)}"
    else:
        yield "gpu", "none that torch can use"
    rates = {
        name: measure_flops(getattr(torch, name), device, seconds / 2)
        for name in ("float32", "bfloat16")
    }
    for name, flops in rates.items():
        yield name, f"{flops / 1e9:,.0f} GFLOP/s"
    auto_dtype = devices.choose_compute_dtype("auto", device)
    yield "precision", f"auto is {str(auto_dtype).removeprefix('torch.')}"
    if auto_dtype == torch.bfloat16 and rates["bfloat16"] < MIN_BFLOAT16_RATIO * rates["float32"]:
        report(
            MachineProblem("precision: bfloat16 is slower than float32 here; give --dtype float32")
        )


def measure_flops(dtype: object, device: object, seconds: float) -> float:
    """Return the best FLOP/s of a matrix product, measured for `seconds` seconds."""
    import torch  # noqa: PLC0415 -- as above

    matrix = torch.full((MATRIX_SIZE, MATRIX_SIZE), 0.5, dtype=dtype, device=device)  # type: ignore[call-overload]  # torch types; torch is not imported here
    best = float("inf")
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or best == float("inf"):
        started_at = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading a number synchronizes with the GPU
        best = min(best, time.perf_counter() - started_at)
    return 2 * MATRIX_SIZE**3 / best

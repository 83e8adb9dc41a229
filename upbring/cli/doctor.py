"""`upbring doctor`: whether this machine can train, in a block to paste into a bug report.

Asks nothing of the network and leaves nothing behind. The home folder is written as `~`.
"""

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from upbring import __version__, durable
from upbring.data.trees.store import cache_folder
from upbring.errors import InputError, ResourceError, UpbringError
from upbring.runs.environment import environment, redacted, usable_cores
from upbring.settings.commands.doctor import DoctorSettings
from upbring.settings.resolve import Resolved

SAVES = 5  # small files whose median tells how fast the disk syncs
SLOW_SYNC = 0.2  # seconds
LITTLE_DISK, LITTLE_MEMORY = 2 * 10**9, 10**9
SIDE = 1024  # of the matrices that are multiplied
SLOWER = 0.8  # of float32's rate: bfloat16 does not pay


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to mend: where, what was found, what to do."""

    text: str
    forbids: type[UpbringError] | None = None  # the error, if no training is possible


def run(resolved: Resolved[DoctorSettings]) -> None:
    """Print what was found and what to mend; fail if training is impossible."""
    settings = resolved.settings
    problems: list[Problem] = []
    facts = [
        *_versions(problems.append),
        *_machine(problems.append),
        *_disk("run folder", settings.runs, problems.append),
        *_disk("cache folder", _cache(problems.append), problems.append),
        *_processor(settings.seconds, problems.append),
    ]
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    for name, text in facts:
        table.add_row(name, redacted(text))
    console.print(table, soft_wrap=True)
    for problem in problems:
        if problem.forbids is None:
            console.print(f"! {redacted(problem.text)}", markup=False, soft_wrap=True)
    console.file.flush()
    if fatal := [problem for problem in problems if problem.forbids is not None]:
        kind = fatal[0].forbids or InputError
        raise kind("\n".join(redacted(problem.text) for problem in fatal))
    console.print("this machine can train", markup=False)


Report = Callable[[Problem], None]


def _versions(report: Report) -> Iterator[tuple[str, str]]:
    found = environment()
    yield "python", f"{found['python']} on {found['platform']}"
    packages = found["packages"]
    assert isinstance(packages, dict), "environment names packages"
    for name, version in packages.items():
        yield name, str(version or (__version__ if name == "upbring" else "missing"))
        if version is None and name != "upbring":
            fix = f"install it with `pip install {name}`"
            report(Problem(f"{name}: is not installed; {fix}", InputError))


def _machine(report: Report) -> Iterator[tuple[str, str]]:
    from upbring.train import devices  # noqa: PLC0415 -- torch, which the door does without

    found = environment()
    yield "processor", str(found["processor"])
    yield "instructions", " ".join(map(str, _listed(found["instructions"]))) or "unknown"
    yield "cores", f"{usable_cores()} of {found['cores']} may be used"
    available = available_memory()
    told = "" if available is None else f", {durable.size(available)} of it available"
    yield "memory", f"{durable.size(devices.memory(devices.choose_device('cpu')))}{told}"
    if available is not None and available < LITTLE_MEMORY:
        found_text = f"only {durable.size(available)} are available"
        report(Problem(f"memory: {found_text}; end other programs", ResourceError))
    yield "allocator", "keeps freed memory" if devices.keep_memory() else "the system's own"


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def available_memory() -> int | None:
    """Return the bytes that programs may still take, where the system tells."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else None


def _cache(report: Report) -> Path:
    """Return the cache folder, or where it was to be."""
    told: list[str] = []
    folder = cache_folder(notice=told.append)
    if told:
        shutil.rmtree(folder, ignore_errors=True)  # the temporary one that stood in
        match = re.search(r"cannot be written \((.+)\); encoded", told[0])
        reason = match[1] if match else told[0]
        report(
            Problem(
                f"cache folder cannot be written: {reason}; set UPBRING_CACHE to a folder that can "
                "be written, else rows are tokenised anew each time"
            )
        )
        return folder.parent
    return folder


def _disk(name: str, folder: Path, report: Report) -> Iterator[tuple[str, str]]:
    """Yield where a folder lies, what is free there and how fast it syncs."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    try:
        seconds = sync_seconds(there)
    except (OSError, UpbringError) as error:
        yield name, f"{folder.absolute()}: cannot be written"
        reason = getattr(error, "strerror", None) or str(error)
        fix = "give yourself the right to write there, or choose another with --runs"
        report(Problem(f"{name} {there}: cannot be written ({reason}); {fix}", InputError))
        return
    text = f"{durable.size(free)} free, a small save takes {1000 * seconds:.1f} ms"
    yield name, f"{folder.absolute()}: {text}"
    if free < LITTLE_DISK:
        report(Problem(f"{name} {there}: {durable.size(free)} free; make room for checkpoints"))
    if seconds > SLOW_SYNC:
        report(Problem(f"{name} {there}: syncs slowly ({seconds:.1f} s); choose a local disk"))


def sync_seconds(folder: Path) -> float:
    """Return the seconds of a small durable save, the median of a few; nothing is left behind."""
    found = []
    with tempfile.TemporaryDirectory(prefix=".upbring-doctor-", dir=folder) as scratch:
        for number in range(SAVES):
            began = time.perf_counter()
            durable.write_text(Path(scratch) / f"{number}.txt", "saved\n")
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def _processor(seconds: float, report: Report) -> Iterator[tuple[str, str]]:
    """Yield what products take in each number format, and the GPU."""
    import torch  # noqa: PLC0415 -- heavy, which the door does without

    from upbring.train import devices  # noqa: PLC0415 -- as above

    device = devices.choose_device("auto")
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        yield "gpu", f"{properties.name}, {durable.size(properties.total_memory)}"
    else:
        yield "gpu", "none that torch can use"
    rates = {
        name: rate(getattr(torch, name), device, seconds / 2) for name in ("float32", "bfloat16")
    }
    for name, found in rates.items():
        yield name, f"{found / 1e9:,.0f} GFLOP/s"
    chosen = devices.choose_precision("auto", device)
    yield "precision", f"auto is {str(chosen).removeprefix('torch.')}"
    if chosen == torch.bfloat16 and rates["bfloat16"] < SLOWER * rates["float32"]:
        report(Problem("precision: bfloat16 is slower than float32 here; give --precision float32"))


def rate(dtype: object, device: object, seconds: float) -> float:
    """Return the operations of a matrix product in a second, tried for so many seconds."""
    import torch  # noqa: PLC0415 -- as above

    one = torch.full((SIDE, SIDE), 0.5, dtype=dtype, device=device)  # type: ignore[call-overload]  # of torch, which this module does not import
    best = float("inf")
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or best == float("inf"):
        began = time.perf_counter()
        float((one @ one)[0, 0])  # reading a number waits for a GPU
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best

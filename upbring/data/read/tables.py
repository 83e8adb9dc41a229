"""Read Parquet files, Arrow files and Hugging Face Hub datasets in batches, with the extra [data].

A Hub dataset is named hub:owner/name, hub:owner/name:split or
hub:owner/name/configuration:split. Code in the dataset repository is never run.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from upbring.data.read.files import HUB_PREFIX
from upbring.errors import InputError

_BATCH_ROWS = 256
_ARROW_MAGIC = b"ARROW1"


def read_parquet(path: Path) -> Iterator[Mapping[str, object]]:
    """Yield the rows of a Parquet file, with a few hundred in memory at a time."""
    _import_extra("pyarrow", path)
    parquet, arrow = import_module("pyarrow.parquet"), import_module("pyarrow")
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: file: is not a complete Parquet file ({reason}); copy or download it again"
        ) from error


def read_arrow(path: Path) -> Iterator[Mapping[str, object]]:
    """Yield the rows of an Arrow file or stream, as `datasets` saves it, batch by batch."""
    _import_extra("pyarrow", path)
    ipc, arrow = import_module("pyarrow.ipc"), import_module("pyarrow")
    try:
        with arrow.memory_map(str(path)) as source:
            if source.read(len(_ARROW_MAGIC)) == _ARROW_MAGIC:
                file = ipc.open_file(source)
                batches = (file.get_batch(k) for k in range(file.num_record_batches))
            else:
                source.seek(0)
                batches = iter(ipc.open_stream(source))
            for batch in batches:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield from batch.slice(start, _BATCH_ROWS).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: file: is not a complete Arrow file ({reason}); copy or save it again"
        ) from error


def read_hub(path: Path) -> Iterator[Mapping[str, object]]:
    """Stream the rows of a Hub dataset."""
    name, configuration, split = parse_hub_path(path)
    datasets = _import_extra("datasets", path)
    try:
        dataset = datasets.load_dataset(name, configuration, split=split, streaming=True)
        yield from dataset
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path.as_posix()}: cannot be read ({reason}); "
            "write hub:owner/name:split or hub:owner/name/configuration:split"
        ) from error


def parse_hub_path(path: Path) -> tuple[str, str | None, str]:
    """Return the name, the configuration and the split of a Hub path.

    >>> parse_hub_path(Path("hub:openai/gsm8k/main:test"))
    ('openai/gsm8k', 'main', 'test')
    """
    name, _, split = path.as_posix().removeprefix(HUB_PREFIX).partition(":")
    parts = name.split("/")
    if len(parts) not in {2, 3} or not all(parts):
        raise InputError(
            f"{path.as_posix()}: is not the name of a Hub dataset; write hub:owner/name:split"
        )
    return "/".join(parts[:2]), parts[2] if parts[2:] else None, split or "train"


def _import_extra(module: str, path: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f'{path.as_posix()}: needs {module}; install it with: pip install "upbring[data]"'
        ) from error

"""Count the weights in a folder of safetensors files, reading only the file headers."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format


def num_weights(folder: Path) -> int | None:
    """Return the number of weights in the folder's safetensors files, or None if unknown."""
    try:
        counts = [sum(_tensor_sizes(path)) for path in sorted(folder.glob("*.safetensors"))]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return sum(counts) if counts else None


def _tensor_sizes(path: Path) -> Iterator[int]:
    """Yield the number of elements of each tensor in a file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(
                f"{path}: header has {length} bytes; delete the file and save it again"
            )
        header = json.loads(file.read(length))
    for name, tensor in header.items():
        if name != "__metadata__":
            yield math.prod(int(size) for size in tensor["shape"])

"""How many weights a folder of safetensors holds, read from the files' heads alone."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

MAX_HEADER_BYTES = 100_000_000  # of a head; safetensors allows no more


def num_weights(folder: Path) -> int | None:
    """Return the number of weights of all safetensors files of a folder; None where unknown."""
    try:
        counts = [sum(_tensor_sizes(path)) for path in sorted(folder.glob("*.safetensors"))]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return sum(counts) if counts else None


def _tensor_sizes(path: Path) -> Iterator[int]:
    """Yield the size of each tensor of a file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"{path}: a head of {length} bytes")
        header = json.loads(file.read(length))
    for name, tensor in header.items():
        if name != "__metadata__":
            yield math.prod(int(size) for size in tensor["shape"])

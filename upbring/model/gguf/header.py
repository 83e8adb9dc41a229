"""The header of a GGUF file: its metadata, and where each tensor lies.

Written for files from anywhere: every count and offset is checked against the file's size before
it is used. The layout is that of versions 2 and 3; the tensors themselves stay on the disk.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType

import numpy as np

from upbring import durable
from upbring.errors import InputError, format_value
from upbring.plurals import format_count
from upbring.runs.find_model import GGUF_MAGIC

VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**16
MAX_SIZE = 2**31  # of a size in the metadata
_STRING, _ARRAY = 8, 9
_SCALARS = {  # type id: layout
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

Scalar = int | float | bool | str
Value = Scalar | list[Scalar]


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies in the file, and how it is stored."""

    name: str
    shape: tuple[int, ...]  # in torch's order
    type_id: int
    start: int
    num_bytes: int


@dataclass(frozen=True, eq=False)
class GgufFile:
    """A GGUF file's metadata, and its tensors by name."""

    path: Path
    metadata: Mapping[str, Value]
    tensors: Mapping[str, TensorEntry]

    @property
    def architecture(self) -> str:
        """What `general.architecture` says, such as `llama`."""
        return str(self.metadata.get("general.architecture", ""))

    def texts(self, key: str) -> list[str]:
        """Return a list of texts of the metadata, empty if there is none."""
        value = self.metadata.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise _damaged(self.path, f"{key} is {format_value(value)}, not a list of texts")
        return [str(each) for each in value]

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers of the metadata, empty if there is none."""
        value = self.metadata.get(key, [])
        if not isinstance(value, list) or any(isinstance(each, str) for each in value):
            raise _damaged(self.path, f"{key} is {format_value(value)}, not a list of numbers")
        return [float(each) for each in value]

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number of the metadata."""
        value = self.metadata.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _damaged(self.path, f"{key} is {format_value(value)}, not a whole number")
        return value

    def positive(self, key: str, default: int | None = None) -> int:
        """Return a size of the metadata, at least 1."""
        value = self.whole(key, default)
        if not 0 < value <= MAX_SIZE:
            raise _damaged(self.path, f"{key} is {format_value(value)}")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """Return a number of the metadata."""
        value = self.metadata.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _damaged(self.path, f"{key} is {format_value(value)}, not a number")
        return float(value)

    def values(self, name: str) -> np.ndarray:
        """Return a tensor's values in float32, dequantized."""
        gguf = require_gguf()
        entry = self.tensors[name]
        data = np.memmap(
            self.path, mode="r", dtype=np.uint8, offset=entry.start, shape=(entry.num_bytes,)
        )
        kind = gguf.GGMLQuantizationType(entry.type_id)
        plain = {"F32": np.float32, "F16": np.float16, "F64": np.float64}.get(kind.name)
        if plain is not None:
            return np.asarray(data.view(plain), dtype=np.float32).reshape(entry.shape)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        rows = data.reshape(*entry.shape[:-1], entry.shape[-1] // block * size)
        try:
            return np.asarray(gguf.quants.dequantize(rows, kind), dtype=np.float32)
        except NotImplementedError as error:
            raise InputError(
                f"{self.path}: {name} is stored as {kind.name}, which the gguf package cannot "
                "dequantize; use a file with another quantization, such as Q8_0"
            ) from error


def require_gguf() -> ModuleType:
    """Return the package; without it, say how to install it."""
    try:
        import gguf  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise InputError(
            "GGUF: the package gguf is missing; install it with `pip install 'upbring[gguf]'`"
        ) from error
    module: ModuleType = gguf
    return module


def read_header(path: Path) -> GgufFile:
    """Return the metadata and the places of the tensors of a GGUF file."""
    require_gguf()
    with durable.explain_os_errors(path), path.open("rb") as file:
        if path.stat().st_size == 0:
            raise _damaged(path, "it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(path, _Cursor(path, data))


def _read(path: Path, cursor: "_Cursor") -> GgufFile:
    if (found := cursor.take(4)) != GGUF_MAGIC:
        raise InputError(
            f"{path}: is no GGUF file (it begins with {format_value(found)}); give a model's "
            "folder or a .gguf file"
        )
    version = cursor.number("I")
    if version not in VERSIONS:
        raise InputError(
            f"{path}: has version {version} of GGUF, and upbring reads 2 and 3 in little-endian "
            "order; convert it with a current llama.cpp"
        )
    num_tensors, num_values = cursor.number("Q"), cursor.number("Q")
    metadata: dict[str, Value] = {}
    for _ in range(num_values):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.number("I"))
    entries = [_read_entry(cursor) for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= MAX_ALIGNMENT:
        raise _damaged(path, f"general.alignment is {format_value(alignment)}")
    data_start = -(-cursor.position // alignment) * alignment
    tensors: dict[str, TensorEntry] = {}
    for name, shape, type_id, offset in entries:
        num_bytes = _count_bytes(path, name, shape, type_id)
        start = data_start + offset
        if name in tensors:
            raise _damaged(path, f"it has two tensors {format_value(name)}")
        if start + num_bytes > cursor.size:
            raise _damaged(
                path,
                f"{format_value(name)} ends at byte {start + num_bytes:,}, and the file has "
                f"{cursor.size:,}",
            )
        tensors[name] = TensorEntry(name, shape, type_id, start, num_bytes)
    return GgufFile(path, metadata, tensors)


def _read_entry(cursor: "_Cursor") -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text()
    num_dimensions = cursor.number("I")
    if not 0 < num_dimensions <= MAX_DIMENSIONS:
        dimensions = format_count(num_dimensions, "dimension")
        raise _damaged(cursor.path, f"{format_value(name)} has {dimensions}")
    shape = tuple(cursor.number("Q") for _ in range(num_dimensions))[::-1]
    if min(shape) < 1:
        raise _damaged(cursor.path, f"{format_value(name)} has the shape {shape}")
    return name, shape, cursor.number("I"), cursor.number("Q")


def _count_bytes(path: Path, name: str, shape: tuple[int, ...], type_id: int) -> int:
    gguf = require_gguf()
    try:
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(type_id)]
    except (ValueError, KeyError) as error:
        raise _damaged(path, f"{format_value(name)} has the unknown type {type_id}") from error
    if shape[-1] % block:
        raise _damaged(
            path, f"{format_value(name)} has rows of {shape[-1]}, no multiple of {block}"
        )
    return int(prod(shape) // block * size)


def _damaged(path: Path, problem: str) -> InputError:
    return InputError(f"{path}: is a damaged GGUF file: {problem}; download or copy it again")


class _Cursor:
    """Reads a mapped file from its start, and never beyond its end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.position, self.size = path, 0, len(data)
        self._data = data

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > self.size - self.position:
            raise _damaged(
                self.path, f"its header continues beyond the end of the file at byte {self.size:,}"
            )
        self.position += count
        return self._data[self.position - count : self.position]

    def number(self, layout: str) -> int:
        """Return the next number of a `struct` layout."""
        (value,) = struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))
        return int(value)

    def text(self) -> str:
        """Return the next text."""
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError as error:
            raise _damaged(self.path, "a text of its header is not UTF-8") from error

    def value(self, type_id: int) -> Value:
        """Return the next value of a type."""
        if type_id == _STRING:
            return self.text()
        if type_id == _ARRAY:
            element, count = self.number("I"), self.number("Q")
            if element == _STRING:
                return [self.text() for _ in range(count)]
            return [*self._scalars(element, count)]
        return self._scalars(type_id, 1)[0]

    def _scalars(self, type_id: int, count: int) -> tuple[Scalar, ...]:
        layout = _SCALARS.get(type_id)
        if layout is None:
            raise _damaged(self.path, f"its metadata has a value of the unknown type {type_id}")
        data = self.take(count * struct.calcsize(f"<{layout}"))
        return struct.unpack(f"<{count}{layout}", data)

"""Every architecture in every type, and the rounding of each type."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import IS_NIGHTLY
from tests.gguf_models import KINDS, file_content, load_kind, make_kind
from upbring.errors import InputError
from upbring.export.gguf.read_back import check_file
from upbring.export.gguf.write_file import TYPES, Stored, encode, rounding_limit, write_file
from upbring.model.gguf.header import read_header

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    for kind in KINDS:
        make_kind(folder / kind, kind)
    return folder


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (kind, dtype)
        for kind in KINDS
        for dtype in TYPES
        if IS_NIGHTLY or dtype == "float32" or kind == "gemma3"
    ],
)
def test_every_architecture_is_written_in_every_type(
    home: Path, tmp_path: Path, kind: str, dtype: str
) -> None:
    loaded = load_kind(home / kind)
    content = file_content(loaded, dtype)  # type: ignore[arg-type]
    write_file(tmp_path / "m.gguf", content)
    assert loaded.tokenizer is not None
    rounded = check_file(tmp_path / "m.gguf", content, loaded.tokenizer)
    limits = {"float32": 0, "float16": 1e-3, "bfloat16": 1e-2, "q8_0": 1e-2}
    assert rounded <= limits[dtype]
    assert (rounded > 0) == (dtype != "float32")
    kinds = {entry.type_id for entry in read_header(tmp_path / "m.gguf").tensors.values()}
    assert gguf.GGMLQuantizationType[TYPES[dtype]] in kinds  # type: ignore[index]


@pytest.mark.parametrize("kind", list(TYPES.values()))
def test_values_are_within_the_rounding_of_their_type(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 256, generator=generator).numpy() * np.float32(0.02)
    data = encode(Stored("x", None, values, kind), "m")
    again = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind]).astype(np.float32)
    share = np.abs(again - values) / np.maximum(rounding_limit(kind, values), 1e-30)
    assert float(share.max()) <= 1
    assert kind == "F32" or float(share.max()) > 0.4  # the limit is not far from what happens


def test_values_beyond_half_precision_are_rejected() -> None:
    large = Stored("blk.0.ffn_up.weight", None, np.full((1, 32), 1e5, dtype=np.float32), "F16")
    with pytest.raises(InputError, match="has values beyond the range of float16"):
        encode(large, "m")

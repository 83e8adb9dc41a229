"""The check of a written file finds what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest

from tests.gguf_models import file_content, load_kind, make_gguf, make_kind
from upbring.errors import UpbringError
from upbring.export.gguf.read_back import check_file
from upbring.model.gguf.header import read_header

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    for kind in ("llama", "qwen3"):
        make_kind(folder / kind, kind)
    return folder


def test_a_changed_value_and_another_tokenizer_are_found(home: Path, tmp_path: Path) -> None:
    loaded = load_kind(home / "llama")
    content = file_content(loaded)
    file = make_gguf(tmp_path / "m.gguf", home / "llama")
    assert loaded.tokenizer is not None
    check_file(file, content, loaded.tokenizer)
    entry = read_header(file).tensors["blk.1.attn_v.weight"]
    data = bytearray(file.read_bytes())
    data[entry.start : entry.start + 4] = np.float32(3.0).tobytes()
    file.write_bytes(data)
    with pytest.raises(UpbringError, match=r"blk\.1\.attn_v\.weight differs by"):
        check_file(file, content, loaded.tokenizer)
    other = load_kind(home / "qwen3").tokenizer
    assert other is not None
    file = make_gguf(tmp_path / "n.gguf", home / "llama")
    with pytest.raises(UpbringError, match="has the tokens"):
        check_file(file, content, other)


def test_another_shape_and_a_tensor_too_many_are_found(home: Path, tmp_path: Path) -> None:
    loaded = load_kind(home / "llama")
    assert loaded.tokenizer is not None
    untied = make_gguf(tmp_path / "m.gguf", home / "qwen3")
    with pytest.raises(UpbringError, match="has the shape"):
        check_file(untied, file_content(loaded), loaded.tokenizer)

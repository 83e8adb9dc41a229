"""Damaged and hostile GGUF files are reported in one line, in little time and memory."""

import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gguf_models import V, file_content, load_kind, make_gguf, make_kind
from upbring.errors import InputError
from upbring.export.gguf import write_file as module
from upbring.model.gguf.convert import convert
from upbring.model.gguf.header import read_header

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    home = tmp_path_factory.mktemp("whole")
    return make_gguf(home / "m.gguf", make_kind(home / "m", "llama")).read_bytes()


def rejected(folder: Path, data: bytes) -> str:
    """Return the message of a file; it must come fast, and nothing may be written."""
    file = folder / "bad.gguf"
    file.write_bytes(data)
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        convert(file, folder / "out")
    assert time.monotonic() - start < 20
    assert [path.name for path in folder.iterdir()] == ["bad.gguf"]
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: ")
    return message


def start_of(num_tensors: int, num_values: int, *, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_values)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "it is empty"),
        (b"GG", "its header continues beyond the end of the file at byte 2"),
        (b"PK\x03\x04" * 9, r"is no GGUF file \(it begins with b'PK"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "has version 50331648 of GGUF, and upbring reads"),
        (start_of(0, 0, version=1), "has version 1 of GGUF"),
        (start_of(2**60, 0), "continues beyond the end"),
        (start_of(0, 2**63), "continues beyond the end"),
        (start_of(0, 1) + struct.pack("<Q", 2**62) + b"x", "continues beyond the end"),
        (start_of(0, 1) + text(b"k") + struct.pack("<IIQ", 9, 0, 2**61), "continues beyond"),
        (start_of(0, 1) + text(b"k") + struct.pack("<IIQ", 9, 8, 2**61), "continues beyond"),
        (start_of(0, 1) + text(b"k") + struct.pack("<IIQ", 9, 9, 1), "of the unknown type 9"),
        (start_of(0, 1) + text(b"k") + struct.pack("<I", 99), "of the unknown type 99"),
        (start_of(0, 1) + text(b"\xff\xfe") + struct.pack("<IB", 0, 1), "is not UTF-8"),
        (start_of(1, 0) + text(b"t") + struct.pack("<I", 9), "'t' has 9 dimensions"),
        (start_of(1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 0, 0, 0), "has the shape"),
        (start_of(1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 2**62, 0, 0), "'t' ends at byte"),
        (start_of(1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 32, 0, 2**62), "'t' ends at byte"),
        (start_of(1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 32, 77, 0), "the unknown type 77"),
        (start_of(1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 31, 8, 0), "no multiple of 32"),
    ],
)
def test_a_header_that_lies_is_rejected(tmp_path: Path, data: bytes, expected: str) -> None:
    assert re.search(expected, rejected(tmp_path, data))


def test_a_file_cut_anywhere_is_rejected(tmp_path: Path, whole: bytes) -> None:
    for cut in (5, 23, 24, 60, 500, 3000, len(whole) // 2, len(whole) - 1):
        assert "is a damaged GGUF file" in rejected(tmp_path, whole[:cut])
        (tmp_path / "bad.gguf").unlink()


def change(whole: bytes, key: str, value: bytes) -> bytes:
    """Return the file with another number for a key."""
    at = whole.index(text(key.encode())) + 8 + len(key) + 4
    return whole[:at] + value + whole[at + len(value) :]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("llama.block_count", 2**31 - 1, "says it has 2,147,483,647 layers, and has 20 tensors"),
        ("llama.block_count", 0, "llama.block_count is 0"),
        ("llama.block_count", 3, "'blk.2.attn_q.weight' is missing"),
        ("llama.block_count", 1, "has 9 tensors that llama has not in transformers"),
        ("llama.attention.head_count", 0, "llama.attention.head_count is 0"),
        ("llama.embedding_length", 2**30, "has the shape"),
        ("llama.feed_forward_length", 2**30, "has the shape"),
    ],
)
def test_sizes_that_do_not_fit_the_tensors_are_rejected(
    tmp_path: Path, whole: bytes, key: str, value: int, expected: str
) -> None:
    assert expected in rejected(tmp_path, change(whole, key, struct.pack("<I", value)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"smollm", b"zmollm", "splits text as 'zmollm' (tokenizer.ggml.pre), which upbring does"),
        (text(b"gpt2"), text(b"bert"), "its tokenizer is 'bert', and upbring reads gpt2 and llama"),
        (b"blk.1.ffn_up", b"blk.1.ffn_UP", "'blk.1.ffn_up.weight' is missing"),
        (text(b"llama"), text(b"lfama"), "has the architecture 'lfama', and upbring reads llama"),
    ],
)
def test_what_upbring_cannot_read_exactly_is_rejected(
    tmp_path: Path, whole: bytes, old: bytes, new: bytes, expected: str
) -> None:
    assert expected in rejected(tmp_path, whole.replace(old, new, 1))


def rewrite(home: Path, edit: Callable[[Any], object]) -> bytes:
    """Return a file with more metadata than its model has."""
    content = file_content(load_kind(make_kind(home / "m", "llama")))
    original = module._add_metadata
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_add_metadata", lambda w, c: (original(w, c), edit(w)))
        module.write_file(home / "m.gguf", content)
    return (home / "m.gguf").read_bytes()


def tokens(writer: Any) -> list[str]:
    found: list[str] = writer.kv_data[0]["tokenizer.ggml.tokens"].value
    return found


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda w: w.add_uint16("split.count", 3), "is one of 3 files of a model; join them first"),
        (
            lambda w: w.add_string("llama.rope.scaling.type", "yarn"),
            "has the rotary scaling 'yarn', which upbring does not read from GGUF",
        ),
        (lambda w: w.add_uint32("general.alignment", 2**30), "general.alignment is 1073741824"),
        (lambda w: w.add_token_list(["a"]), "its tokenizer has 1 token and 512 token types"),
        (lambda w: w.add_token_list(["a"] * V), "its tokenizer has the same token twice"),
        (lambda w: w.add_token_list(["a" * 2000, *tokens(w)[1:]]), "more than 1000 characters"),
        (
            lambda w: (w.add_token_list([*tokens(w), "zz"]), w.add_token_types([1] * (V + 1))),
            "its tokenizer has 513 tokens, more than the model's 512",
        ),
        (lambda w: w.add_token_merges(["zz zz"]), "has the merge 'zz zz', which gives no token"),
    ],
)
def test_other_metadata_is_not_ignored(
    tmp_path: Path, edit: Callable[[Any], object], expected: str
) -> None:
    data = rewrite(tmp_path / "made", edit)
    home = tmp_path / "home"
    home.mkdir()
    assert expected in rejected(home, data)


def test_values_that_are_no_numbers_are_rejected(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(whole)
    entry = read_header(tmp_path / "bad.gguf").tensors["blk.0.ffn_down.weight"]
    data = whole[: entry.start] + struct.pack("<f", float("nan")) + whole[entry.start + 4 :]
    found = rejected(tmp_path, data)
    assert "'blk.0.ffn_down.weight' has values that are not finite in float32" in found

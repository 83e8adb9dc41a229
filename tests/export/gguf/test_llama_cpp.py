"""Exports in llama.cpp itself: 200 texts, greedy continuations, log-probabilities."""

from pathlib import Path

import pytest

from tests.gguf_models import KINDS, file_content, load_kind, make_kind
from upbring.errors import UpbringError
from upbring.export.gguf.compare import compare_with_llama_cpp
from upbring.export.gguf.llama_cpp import ask_llama_cpp
from upbring.export.gguf.write_file import write_file

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
ROUNDING = {"gemma3": 5e-3}  # llama.cpp looks GELU up in a table in half precision


@pytest.mark.parametrize("kind", list(KINDS))
def test_llama_cpp_computes_the_same_from_the_file(tmp_path: Path, kind: str) -> None:
    loaded = load_kind(make_kind(tmp_path / "m", kind))
    write_file(tmp_path / "m.gguf", file_content(loaded))
    assert loaded.tokenizer is not None
    found = compare_with_llama_cpp(tmp_path / "m.gguf", loaded.model, loaded.tokenizer)
    assert found.different_text is None, found.different_text
    assert (found.equal_texts, found.num_texts) == (200, 200)
    assert (found.equal_prompts, found.num_prompts) == (8, 8)
    assert found.num_steps > 8
    assert found.max_difference < ROUNDING.get(kind, 2e-4)


def test_bos_comes_once(tmp_path: Path) -> None:
    loaded = load_kind(make_kind(tmp_path / "m", "llama2"))
    write_file(tmp_path / "m.gguf", file_content(loaded))
    answers = ask_llama_cpp(tmp_path / "m.gguf", texts=["a"], prompts=[], num_tokens=1)
    assert loaded.tokenizer is not None
    assert answers.tokens == [loaded.tokenizer.encode("a")]
    assert answers.with_special == answers.tokens[0]  # the tokenizer adds none


def test_a_file_that_llama_cpp_cannot_load_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UpbringError, match=r"bad\.gguf: llama\.cpp cannot load the file"):
        ask_llama_cpp(tmp_path / "bad.gguf", texts=[], prompts=[], num_tokens=1)

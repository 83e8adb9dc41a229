import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from upbring.errors import InputError
from upbring.model.gguf.header import GgufFile
from upbring.model.gguf.read_tokenizer import read_tokenizer
from upbring.model.gguf.vocabulary import BYTE_TOKENS

PIECES = ["▁", "a", "b", "▁a", "ab"]
SENTENCEPIECE: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *BYTE_TOKENS, *PIECES, "\n\n"],
    "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * 5, 4],
    "tokenizer.ggml.scores": [0.0] * 259 + [-5.0, -5.0, -5.0, -1.0, -2.0, 0.0],
}
A = 260


def read(**changes: object) -> Any:
    metadata = SENTENCEPIECE | {f"tokenizer.{key}": value for key, value in changes.items()}
    return read_tokenizer(GgufFile(Path("m.gguf"), metadata, {}))


def encode(files: Any, text: str) -> list[int]:
    backend = tokenizers.Tokenizer.from_str(json.dumps(files.tokenizer))
    return list(backend.encode(text).ids)


def test_what_the_file_does_not_say_is_what_llama_cpp_assumes() -> None:
    files = read()
    assert encode(files, "ab") == [1, 262, A + 1]  # BOS, a space before the text, the best score
    assert files.config["unk_token"] == "<unk>"  # noqa: S105 -- not a password
    assert files.stop_token_ids == [2]
    assert files.chat_template is None


def test_the_file_decides_about_bos_eos_and_the_space() -> None:
    files = read(**{"ggml.add_bos_token": False, "ggml.add_space_prefix": False})
    assert encode(files, "ab") == [263]
    assert encode(read(**{"ggml.add_eos_token": True}), "b")[-1] == 2


def test_unknown_characters_become_bytes_and_whole_tokens_stay_whole() -> None:
    files = read(**{"ggml.add_bos_token": False, "ggml.add_space_prefix": False})
    assert encode(files, "é") == [3 + 0xC3, 3 + 0xA9]
    assert encode(files, "a\n\nb") == [A, 264, A + 1]


def test_all_tokens_that_end_a_turn_are_stops() -> None:
    files = read(**{"ggml.eos_token_id": 2, "ggml.eot_token_id": 264, "ggml.eom_token_id": 99999})
    assert files.stop_token_ids == [2, 264]


def test_scores_must_be_complete() -> None:
    with pytest.raises(InputError, match="its tokenizer has 1 score for 265 tokens"):
        read(**{"ggml.scores": [1.0]})


def test_tokens_that_are_not_used_are_no_text() -> None:
    types = [*SENTENCEPIECE["tokenizer.ggml.token_type"]]
    types[263] = 5
    vocabulary = read(**{"ggml.token_type": types}).tokenizer["model"]["vocab"]
    assert "ab" not in vocabulary
    assert vocabulary["▁a"] == 262

import json

import pytest
import tokenizers
from tokenizers import models

from upbring.model.gguf.pre_tokenizers import (
    LLAMA3,
    PRE_TOKENIZERS,
    QWEN2,
    TEKKEN,
    find_by_content,
    find_by_name,
)


def split(name: str, text: str) -> list[str]:
    """Return how the tokenizers library splits a text under a name."""
    pre = find_by_name(name)
    assert pre is not None
    document = json.loads(tokenizers.Tokenizer(models.BPE()).to_str())
    backend = tokenizers.Tokenizer.from_str(json.dumps(document | {"pre_tokenizer": pre.to_json()}))
    return [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-2", ["It", "'s", "Ġ2024", "Ċ", "!"]),
        ("smollm", ["It", "'s", "Ġ", "2", "0", "2", "4", "Ċ", "!"]),
        ("llama-bpe", ["It", "'s", "Ġ", "202", "4", "Ċ", "!"]),
        ("qwen2", ["It", "'s", "Ġ", "2", "0", "2", "4", "Ċ", "!"]),
        ("tekken", ["It", "'s", "Ġ", "2", "0", "2", "4", "Ċ", "!"]),
    ],
)
def test_a_name_splits_text_as_in_llama_cpp(name: str, expected: list[str]) -> None:
    assert split(name, "It's 2024\n!") == expected


def test_the_patterns_are_those_of_transformers() -> None:
    table = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    splits = table.GGUF_PRE_TOKENIZER_SPLITS
    assert (splits["llama-bpe"], splits["qwen2"], splits["tekken"]) == (LLAMA3, QWEN2, TEKKEN)


def test_names_are_different_and_found_by_content() -> None:
    names = [name for each in PRE_TOKENIZERS for name in each.names]
    assert len(names) == len({*names})
    for each in PRE_TOKENIZERS:
        assert find_by_content(each.to_json(), ignores_merges=each.ignores_merges) is each
    assert find_by_name("bloom") is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False},
    ],
)
def test_other_content_has_no_name(content: object) -> None:
    assert find_by_content(content, ignores_merges=False) is None


def test_details_that_change_nothing_do_not_matter() -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    found = find_by_content(
        {"type": "Sequence", "pretokenizers": [byte_level]}, ignores_merges=False
    )
    assert found is find_by_name("gpt-2")

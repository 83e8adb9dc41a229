import pytest

from tests.gguf_models import V, make_byte_level, make_sentencepiece
from upbring.export.gguf.write_tokenizer import NFC, tokenizer_metadata
from upbring.model.gguf.vocabulary import TokenType


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken"])
def test_a_split_is_recognized_by_its_content(name: str) -> None:
    found = tokenizer_metadata(make_byte_level(name), V, name="m")
    assert (found.model, found.pre) == ("gpt2", name)
    assert found.warnings == ([NFC] if name == "qwen2" else [])
    assert found.scores is None


def test_every_row_of_the_embedding_has_a_token_and_a_type() -> None:
    tokenizer = make_byte_level("gpt-2")
    found = tokenizer_metadata(tokenizer, V, name="m")
    assert len(found.tokens) == len(found.types) == V
    by_text = dict(zip(found.tokens, found.types, strict=True))
    assert by_text["<|im_end|>"] == TokenType.CONTROL
    assert by_text["<think>"] == TokenType.USER_DEFINED
    assert by_text["Ġ"] == TokenType.NORMAL
    assert by_text[f"[PAD{V - 1}]"] == TokenType.UNUSED


@pytest.mark.parametrize("has_prefix", [False, True])
def test_scores_stand_for_the_merges_of_sentencepiece(has_prefix: bool) -> None:  # noqa: FBT001 -- a parameter
    found = tokenizer_metadata(make_sentencepiece(has_prefix=has_prefix), V, name="m")
    assert (found.model, found.pre, found.merges) == ("llama", "default", None)
    assert found.has_space_prefix == has_prefix
    types = dict(zip(found.tokens, found.types, strict=True))
    assert (types["<0x0A>"], types["\n\n"]) == (TokenType.BYTE, TokenType.USER_DEFINED)
    assert found.scores is not None
    merged = [score for score in found.scores if score > -1e8]
    assert len(merged) > 50
    assert max(merged) == -1

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from tests.data.chat_families import FAMILIES, KINDS, codec
from upbring.data.chat.tokenizer import make_tokenizer
from upbring.errors import InputError

UNKNOWN = "?"
TEXT = "Hello <s>there</s> [INST]"


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_special_only_in_trusted_text(kind: str) -> None:
    tokenizer = codec(FAMILIES["mistral-v3"], kind)
    special = [tokenizer.special_token_ids[s] for s in ("<s>", "</s>", "[INST]")]
    trusted = tokenizer.encode(TEXT)
    assert [t for t in trusted if t in special] == special
    untrusted = tokenizer.encode(TEXT, trusted=False)
    assert not set(untrusted) & set(special)
    assert tokenizer.decode(untrusted) == TEXT
    assert "[INST]" not in tokenizer.decode(trusted)
    assert "[INST]" in tokenizer.decode(trusted, with_special_tokens=True)
    both = tokenizer.encode_batch(["plain", TEXT, "plain"], trusted=False)
    assert both == [tokenizer.encode("plain"), untrusted, tokenizer.encode("plain")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_continuation_is_encoded_as_it_is_after_other_text(kind: str) -> None:
    tokenizer = codec(FAMILIES["mistral-v3"], kind)
    for text in ("Hello", " Hello", "there</s>", "a b"):
        # "0" is a separate word for every kind and merges with no letter.
        whole = tokenizer.encode("0\n" + text)
        assert whole == tokenizer.encode("0\n") + tokenizer.encode(text, is_continuation=True)


@pytest.mark.parametrize("kind", KINDS)
def test_text_after_a_special_token_is_encoded_as_in_the_backend(kind: str) -> None:
    tokenizer = codec(FAMILIES["mistral-v3"], kind)
    inside = not tokenizer.restarts_after_special
    expected = [
        tokenizer.special_token_ids["<s>"],
        *tokenizer.encode("Hello", is_continuation=inside),
    ]
    assert tokenizer.encode("<s>Hello") == expected


def test_untrusted_text_has_no_special_token_even_if_the_vocabulary_has_it() -> None:
    words = {"<unk>": -9.0, "<s>": -1.0, "<": -5.0, "s": -5.0, ">": -5.0, "a": -5.0, "</s>": -1.0}
    backend = Backend(models.Unigram(list(words.items()), 0))
    tokenizer = make_tokenizer(
        backend, special_tokens_map={"bos_token": "<s>", "eos_token": "</s>"}
    )
    assert tokenizer.encode("a<s>a") == [5, 1, 5]
    assert tokenizer.encode("a<s>a", trusted=False) == [5, 2, 3, 4, 5]


def test_a_special_token_of_one_character_is_rejected_in_untrusted_text() -> None:
    backend = Backend(models.WordLevel({"¶": 0, "a": 1, "?": 2}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = make_tokenizer(backend, special_tokens_map={"eos_token": "¶"})
    with pytest.raises(
        InputError, match="'¶' in a text cannot be distinguished from the special token"
    ):
        tokenizer.encode("a ¶", trusted=False)
    assert tokenizer.encode("b", trusted=False) == [2]


def test_the_longest_special_token_is_matched() -> None:
    tokenizer = codec(FAMILIES["llama-3"], "gpt2")
    assert tokenizer.special_pattern.findall("x<|eot_id|>y<|eot_id") == ["<|eot_id|>"]
    assert (
        make_tokenizer(Backend(models.BPE()), special_tokens_map={}).special_pattern.search(
            "anything"
        )
        is None
    )


def test_half_a_surrogate_pair_is_rejected() -> None:
    with pytest.raises(InputError, match="half of a surrogate pair"):
        codec(FAMILIES["chatml"], "gpt2").encode("\ud83d")

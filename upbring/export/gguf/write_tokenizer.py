"""A transformers tokenizer as the metadata of a GGUF file, or the reason why that cannot be.

llama.cpp splits and merges text by code of its own. So only a tokenizer whose every step is known
to be the same there is written; any other would load and give other tokens without an error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upbring.data.chat.tokenizer import Tokenizer
from upbring.errors import InputError, format_value
from upbring.model.gguf.pre_tokenizers import find_by_content
from upbring.model.gguf.vocabulary import BYTE_TOKENS, SPACE, TokenType, scores_from_merges

WORST_SCORE = -1e9  # of tokens that no merge gives
CONVERT = "export it with --as merged, and try llama.cpp's convert_hf_to_gguf.py on that folder"
NFC = (
    "llama.cpp does not compose characters (NFC) as this tokenizer does: a text with decomposed "
    "accents gets other tokens there; ordinary text is unaffected"
)
Part = Mapping[str, Any]


@dataclass(frozen=True)
class TokenizerMetadata:
    """The tokenizer's values in the metadata, and what the user has to know."""

    model: str  # gpt2 or llama
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    merges: list[str] | None
    has_space_prefix: bool
    warnings: list[str]


def tokenizer_metadata(tokenizer: Tokenizer, vocab_size: int, *, name: str) -> TokenizerMetadata:
    """Return what describes a tokenizer, with a token for each row of the embedding."""
    document = json.loads(tokenizer.backend.to_str())
    model = document["model"]
    if model.get("type") != "BPE":
        raise _rejected(name, f"is a {model.get('type')}, not a BPE")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise _rejected(name, f"has {key}")
    if tokenizer.size > vocab_size:
        raise _rejected(
            name, f"has {tokenizer.size:,} tokens, more than the model's {vocab_size:,}"
        )
    if _is_byte_level(document.get("pre_tokenizer")):
        return _byte_level(tokenizer, document, vocab_size, name)
    return _sentencepiece(tokenizer, document, vocab_size, name)


def _byte_level(
    tokenizer: Tokenizer, document: Part, vocab_size: int, name: str
) -> TokenizerMetadata:
    model = document["model"]
    ignores_merges = bool(model.get("ignore_merges"))
    pre = find_by_content(document["pre_tokenizer"], ignores_merges=ignores_merges)
    if pre is None:
        split = json.dumps(document["pre_tokenizer"], ensure_ascii=False)
        raise _rejected(
            name, f"splits text in a way that llama.cpp has no name for ({format_value(split)})"
        )
    normalizer = document.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise _rejected(name, f"normalizes text ({format_value(json.dumps(normalizer))})")
    tokens, types = _tokens(tokenizer, document, vocab_size, name)
    return TokenizerMetadata(
        model="gpt2",
        pre=pre.names[0],
        tokens=tokens,
        types=types,
        scores=None,
        merges=[" ".join(_pair(merge)) for merge in model["merges"]],
        has_space_prefix=False,
        warnings=[NFC] if normalizer else [],
    )


def _sentencepiece(
    tokenizer: Tokenizer, document: Part, vocab_size: int, name: str
) -> TokenizerMetadata:
    has_prefix = _space_prefix(document)
    if has_prefix is None:
        shown = json.dumps([document.get("normalizer"), document.get("pre_tokenizer")])
        raise _rejected(
            name, f"prepares text in a way that llama.cpp has not ({format_value(shown)})"
        )
    model = document["model"]
    vocabulary: dict[str, int] = model["vocab"]
    if not model.get("byte_fallback") or not {*BYTE_TOKENS} <= vocabulary.keys():
        raise _rejected(name, "has no tokens for single bytes")
    tokens, types = _tokens(tokenizer, document, vocab_size, name)
    whole = {token["content"] for token in document["added_tokens"]}
    mergeable = {
        token: number
        for token, number in vocabulary.items()
        if token not in whole and token not in BYTE_TOKENS
    }
    try:
        scores = scores_from_merges(mergeable, [_pair(merge) for merge in model["merges"]])
    except ValueError as error:
        raise _rejected(
            name, f"has merges that no scores can express (token {format_value(str(error))})"
        ) from error
    for number in tokenizer.backend.get_added_tokens_decoder():
        if types[number] == TokenType.USER_DEFINED:
            tokens[number] = tokens[number].replace(SPACE, " ")
    for number, token in enumerate(tokens):
        if token in BYTE_TOKENS:
            types[number] = TokenType.BYTE
    if (unknown := tokenizer.unk_token_id) is not None:
        types[unknown] = (
            TokenType.CONTROL if types[unknown] == TokenType.CONTROL else TokenType.UNKNOWN
        )
    return TokenizerMetadata(
        model="llama",
        pre="default",
        tokens=tokens,
        types=types,
        scores=[scores.get(token, WORST_SCORE) for token in tokens],
        merges=None,
        has_space_prefix=has_prefix,
        warnings=[],
    )


def _tokens(
    tokenizer: Tokenizer, document: Part, vocab_size: int, name: str
) -> tuple[list[str], list[int]]:
    """Return the text and the type of every row of the embedding."""
    tokens = [f"[PAD{number}]" for number in range(vocab_size)]
    types = [int(TokenType.UNUSED)] * vocab_size
    for text, number in document["model"]["vocab"].items():
        tokens[number], types[number] = text, int(TokenType.NORMAL)
    for token in document["added_tokens"]:
        flags = [flag for flag in ("single_word", "lstrip", "rstrip") if token.get(flag)]
        if flags:
            raise _rejected(name, f"has the token {format_value(token['content'])} with {flags[0]}")
        number = token["id"]
        is_special = bool(token.get("special"))
        tokens[number] = token["content"]
        types[number] = int(TokenType.CONTROL if is_special else TokenType.USER_DEFINED)
    del tokenizer
    if len(set(tokens)) != vocab_size:
        raise _rejected(name, "has two tokens with the same text")
    return tokens, types


def _space_prefix(document: Part) -> bool | None:
    """Return whether a space is put before a text, or None if the text is prepared otherwise."""
    normalizer, pre_tokenizer = document.get("normalizer"), document.get("pre_tokenizer")
    steps = [normalizer] if normalizer else []
    if normalizer and normalizer.get("type") == "Sequence":
        steps = normalizer["normalizers"]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = {"type": "Prepend", "prepend": SPACE}
    never_splits = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
    if pre_tokenizer in (None, {**never_splits, "invert": False}):
        return (
            {1: False, 2: True}.get(len(steps))
            if steps in ([replace], [prepend, replace])
            else None
        )
    if steps or pre_tokenizer.get("type") != "Metaspace" or pre_tokenizer.get("split", True):
        return None
    scheme = pre_tokenizer.get("prepend_scheme", "always")
    return (
        {"always": True, "never": False}.get(scheme)
        if pre_tokenizer["replacement"] == SPACE
        else None
    )


def _is_byte_level(pre_tokenizer: Part | None) -> bool:
    if not pre_tokenizer:
        return False
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    return any(step.get("type") == "ByteLevel" for step in steps)


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _rejected(name: str, what: str) -> InputError:
    return InputError(
        f"{name}: its tokenizer {what}, so texts could get other tokens in llama.cpp; {CONVERT}"
    )

"""The tokenizer of a GGUF file as the files of a transformers folder.

Two kinds exist in language models: byte-level BPE with merges (`gpt2`), and SentencePiece BPE with
a score for each token (`llama`). What the file does not say is what llama.cpp assumes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upbring.errors import InputError, format_value
from upbring.model.gguf.header import GgufFile
from upbring.model.gguf.pre_tokenizers import PreTokenizer, find_by_name
from upbring.model.gguf.vocabulary import BYTE_TOKENS, SPACE, TokenType, merges_from_scores
from upbring.plurals import format_count

ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
MAX_TOKEN_LENGTH = 1000  # characters; the longest known one has 256
SENTENCEPIECE_DEFAULTS = {"bos": 1, "eos": 2, "unk": 0}  # llama.cpp's


@dataclass(frozen=True)
class TokenizerFiles:
    """What a folder needs: tokenizer.json, tokenizer_config.json and the chat template."""

    tokenizer: dict[str, Any]
    config: dict[str, Any]
    chat_template: str | None
    stop_token_ids: list[int]
    num_tokens: int

    def write(self, folder: Path) -> None:
        """Write the files."""
        files = {"tokenizer.json": self.tokenizer, "tokenizer_config.json": self.config}
        for name, value in files.items():
            text = json.dumps(value, ensure_ascii=False, indent=1)
            (folder / name).write_text(f"{text}\n", encoding="utf-8", newline="")
        if self.chat_template is not None:
            path = folder / "chat_template.jinja"
            path.write_text(self.chat_template, encoding="utf-8", newline="")


def read_tokenizer(file: GgufFile) -> TokenizerFiles:
    """Return the files of the tokenizer that a GGUF file describes."""
    tokens = file.texts("tokenizer.ggml.tokens")
    types = [int(x) for x in file.numbers("tokenizer.ggml.token_type")] or [1] * len(tokens)
    if not tokens or len(types) != len(tokens):
        raise _wrong(
            file,
            f"{format_count(len(tokens), 'token')} and {format_count(len(types), 'token type')}",
        )
    if len(set(tokens)) != len(tokens):
        raise _wrong(file, "the same token twice")
    if max(map(len, tokens)) > MAX_TOKEN_LENGTH:
        raise _wrong(file, f"a token of more than {MAX_TOKEN_LENGTH} characters")
    # a token that is not used stands for a row of the embedding beyond the tokenizer's tokens
    vocabulary = {
        token: number
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != TokenType.UNUSED
    }
    kind = file.metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        pre = _pre_tokenizer(file)
        parts, adds_bos, defaults = _byte_level(file, vocabulary, pre), pre.adds_bos, {}
    elif kind == "llama":
        parts, adds_bos = _sentencepiece(file, tokens, types, vocabulary), True
        defaults = SENTENCEPIECE_DEFAULTS
    else:
        raise InputError(
            f"{file.path}: its tokenizer is {format_value(kind)}, and upbring reads gpt2 and "
            "llama; use the model's safetensors files"
        )
    roles = _roles(file, tokens, defaults)
    if parts["model"]["type"] == "BPE" and kind == "llama" and "unk" in roles:
        parts["model"]["unk_token"] = tokens[roles["unk"]]
    adds_bos = bool(file.metadata.get("tokenizer.ggml.add_bos_token", adds_bos)) and "bos" in roles
    adds_eos = bool(file.metadata.get("tokenizer.ggml.add_eos_token", False)) and "eos" in roles
    begin = (tokens[roles["bos"]], roles["bos"]) if adds_bos else None
    end = (tokens[roles["eos"]], roles["eos"]) if adds_eos else None
    special = {*roles.values()} - ({roles["pad"]} if "pad" in roles else set())
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(tokens, types, special),
        **parts,
        "post_processor": _post_processor(begin, end),
    }
    return TokenizerFiles(
        tokenizer=document,
        config={
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **{f"{role}_token": tokens[number] for role, number in roles.items()},
        },
        chat_template=_chat_template(file),
        stop_token_ids=_stop_token_ids(file, roles, len(tokens)),
        num_tokens=len(tokens),
    )


def _pre_tokenizer(file: GgufFile) -> PreTokenizer:
    name = file.metadata.get("tokenizer.ggml.pre", "default")
    found = find_by_name(str(name))
    if found is None:
        raise InputError(
            f"{file.path}: splits text as {format_value(name)} (tokenizer.ggml.pre), which upbring "
            "does not know, so texts could get other tokens than in training; use the model's "
            "safetensors files"
        )
    return found


def _byte_level(file: GgufFile, vocabulary: dict[str, int], pre: PreTokenizer) -> dict[str, Any]:
    """Return the parts of a byte-level BPE."""
    merges = [merge.split(" ") for merge in file.texts("tokenizer.ggml.merges")]
    for pair in merges:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocabulary.keys():  # noqa: PLR2004
            raise _wrong(file, f"the merge {format_value(' '.join(pair))}, which gives no token")
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    return {
        "normalizer": None,
        "pre_tokenizer": pre.to_json(),
        "decoder": {**byte_level, "use_regex": True},
        "model": _bpe(vocabulary, merges, ignore_merges=pre.ignores_merges),
    }


def _sentencepiece(
    file: GgufFile, tokens: list[str], types: list[int], vocabulary: dict[str, int]
) -> dict[str, Any]:
    """Return the parts of a SentencePiece BPE; tokens that are matched whole take no part in it."""
    scores = file.numbers("tokenizer.ggml.scores")
    if len(scores) != len(tokens):
        found = f"{format_count(len(scores), 'score')} for {format_count(len(tokens), 'token')}"
        raise _wrong(file, found)
    mergeable = {
        token: score
        for token, score, kind in zip(tokens, scores, types, strict=True)
        if kind == TokenType.NORMAL
    }
    has_prefix = bool(file.metadata.get("tokenizer.ggml.add_space_prefix", True))
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = {"type": "Prepend", "prepend": SPACE}
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if has_prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    merges = [[*pair] for pair in merges_from_scores(mergeable)]
    return {
        "normalizer": {"type": "Sequence", "normalizers": [prepend, replace]}
        if has_prefix
        else replace,
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(vocabulary, merges, is_fallback={*BYTE_TOKENS} <= vocabulary.keys()),
    }


def _bpe(
    vocabulary: dict[str, int],
    merges: list[list[str]],
    *,
    ignore_merges: bool = False,
    is_fallback: bool = False,
) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": is_fallback,
        "byte_fallback": is_fallback,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary,
        "merges": merges,
    }


def _added_tokens(tokens: list[str], types: list[int], special: set[int]) -> list[dict[str, Any]]:
    """Return the tokens that are matched whole in a text."""
    whole: dict[int, bool] = {TokenType.CONTROL: True, TokenType.USER_DEFINED: False}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": number, "content": token, **flags, "special": number in special or whole[kind]}
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in whole or number in special
    ]


def _roles(file: GgufFile, tokens: list[str], defaults: dict[str, int]) -> dict[str, int]:
    """Return the ids of the special tokens by role."""
    found = {}
    for role, name in ROLES.items():
        number = file.metadata.get(f"tokenizer.ggml.{name}_token_id", defaults.get(role))
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[role] = number
    return found


def _post_processor(
    begin: tuple[str, int] | None, end: tuple[str, int] | None
) -> dict[str, Any] | None:
    """Return what adds BOS and EOS to a text, as llama.cpp does."""
    added = [each for each in (begin, end) if each]
    if not added:
        return None

    def steps(sequence: str, type_id: int) -> list[dict[str, Any]]:
        text = {"Sequence": {"id": sequence, "type_id": type_id}}
        around = [
            {"SpecialToken": {"id": each[0], "type_id": type_id}} if each else None
            for each in (begin, end)
        ]
        return [each for each in (around[0], text, around[1]) if each]

    ids = {text: {"id": text, "ids": [number], "tokens": [text]} for text, number in added}
    return {
        "type": "TemplateProcessing",
        "single": steps("A", 0),
        "pair": steps("A", 0) + steps("B", 1),
        "special_tokens": ids,
    }


def _chat_template(file: GgufFile) -> str | None:
    value = file.metadata.get("tokenizer.chat_template")
    return value if isinstance(value, str) and value else None


def _stop_token_ids(file: GgufFile, roles: dict[str, int], num_tokens: int) -> list[int]:
    """Return EOS and the tokens that end a turn or a message."""
    found = [roles["eos"]] if "eos" in roles else []
    for name in ("eot", "eom"):
        number = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(number, int) and 0 <= number < num_tokens:
            found.append(number)
    return [*dict.fromkeys(found)]


def _wrong(file: GgufFile, what: str) -> InputError:
    return InputError(
        f"{file.path}: its tokenizer has {what}; download it again, or use the model's safetensors "
        "files"
    )

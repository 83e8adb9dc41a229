r"""How a byte-level tokenizer splits text before its merges: llama.cpp knows this by a name only.

A file with the wrong name loads and gives other tokens without an error. So a tokenizer is compared
by content with those that the names stand for (llama.cpp, `src/llama-vocab.cpp`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
MARKS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
LLAMA3 = CONTRACTIONS + WORDS + r"|\p{N}{1,3}" + MARKS + SPACES
QWEN2 = CONTRACTIONS + WORDS + r"|\p{N}" + MARKS + SPACES
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES
)


@dataclass(frozen=True)
class PreTokenizer:
    """How text is split, under one name of llama.cpp or several."""

    names: tuple[str, ...]  # the first is written
    pattern: str | None = None  # None: that of GPT-2, which the library has built in
    splits_digits: bool = False  # each digit is a token
    ignores_merges: bool = False  # a word that is a token is not merged
    adds_bos: bool = False  # if the file does not say

    def to_json(self) -> dict[str, Any]:
        """Return the part of tokenizer.json."""
        parts: list[dict[str, Any]] = []
        if self.splits_digits:
            parts.append({"type": "Digits", "individual_digits": True})
        if self.pattern is not None:
            pattern = {"Regex": self.pattern}
            parts.append(
                {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
            )
        parts.append(
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": self.pattern is None,
            }
        )
        return parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}


PRE_TOKENIZERS = (
    PreTokenizer(
        (
            *("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "mellum"),
            *("a.x-4.0", "modern-bert"),
        )
    ),
    PreTokenizer(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        splits_digits=True,
    ),
    PreTokenizer(
        (
            *("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0"),
            "lfm2",
        ),
        pattern=LLAMA3,
        ignores_merges=True,
        adds_bos=True,
    ),
    PreTokenizer(("smaug-bpe", "dbrx"), pattern=LLAMA3),
    PreTokenizer(
        ("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "kormo", "f2llmv2", "megrez"),
        pattern=QWEN2,
    ),
    PreTokenizer(("tekken",), pattern=TEKKEN, ignores_merges=True, adds_bos=True),
)


def find_by_name(name: str) -> PreTokenizer | None:
    """Return what a name of llama.cpp stands for, or None."""
    return next((each for each in PRE_TOKENIZERS if name in each.names), None)


def find_by_content(pre_tokenizer: object, *, ignores_merges: bool) -> PreTokenizer | None:
    """Return the entry that splits as the `pre_tokenizer` of a tokenizer.json, or None."""
    parts = _parts(pre_tokenizer)
    for each in PRE_TOKENIZERS:
        if parts == _parts(each.to_json()) and ignores_merges == each.ignores_merges:
            return each
    return None


def _parts(pre_tokenizer: object) -> list[tuple[object, ...]]:
    """Return what matters of each step; offsets do not."""
    if not isinstance(pre_tokenizer, Mapping):
        return []
    kind = pre_tokenizer.get("type")
    if kind == "Sequence":
        steps = pre_tokenizer.get("pretokenizers") or ()
        return [part for step in steps for part in _parts(step)]
    if kind == "ByteLevel":
        prefix = bool(pre_tokenizer.get("add_prefix_space", True))
        return [(kind, prefix, bool(pre_tokenizer.get("use_regex", True)))]
    if kind == "Digits":
        return [(kind, bool(pre_tokenizer.get("individual_digits", False)))]
    if kind == "Split":
        pattern = pre_tokenizer.get("pattern")
        text = pattern.get("Regex") if isinstance(pattern, Mapping) else pattern
        return [(kind, text, pre_tokenizer.get("behavior"), bool(pre_tokenizer.get("invert")))]
    return [(kind, str(pre_tokenizer))]

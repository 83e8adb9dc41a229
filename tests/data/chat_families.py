"""Public chat templates of 23 model families, and small tokenizers of every type."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from upbring.data.chat.tokenizer_files import Tokenizer as Codec
from upbring.data.chat.tokenizer_files import make_tokenizer

UNKNOWN = "<unk>"
TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "Hello there! How are you today? I am fine, thank you.\n\nAnd you?\n",
    "User assistant system ASSISTANT: USER: Instruction Response ### [INST] think",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9",
    "It rains.  Two  spaces,\ttabs and\nnew lines.\n\n\nDone: 2 + 2 = 4; naïve café 😀.",
]


@dataclass(frozen=True)
class Family:
    """A template, the special tokens that it writes, and its BOS, EOS and stop token."""

    template: str
    specials: tuple[str, ...]
    bos: str | None
    eos: str
    stop: str
    takes_system: bool = True
    swallows: bool = False  # the special tokens strip the whitespace after them


def _template(name: str) -> str:
    return (Path(__file__).parent / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

_HEADERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
_GLM_TOKENS = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>")
_PHI_TOKENS = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>")
_TURN_TOKENS = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>")
_COHERE_TOKENS = ("<BOS_TOKEN>", *_TURN_TOKENS, "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
_DEEPSEEK_TOKENS = (
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
)
_GPT_OSS_TOKENS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>")
_END, _IM_END = "<|endoftext|>", "<|im_end|>"

FAMILIES: dict[str, Family] = {
    "chatml": Family(_template("chatml"), _CHATML_TOKENS, None, _IM_END, _IM_END),
    "llama-2": Family(_template("llama-2"), ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "llama-3": Family(
        _template("llama-3"), (*_HEADERS, "<|eot_id|>"), _HEADERS[0], "<|eot_id|>", "<|eot_id|>"
    ),
    "llama-3.2": Family(
        _template("llama-3.2"), (*_HEADERS, "<|eot_id|>"), _HEADERS[0], _HEADERS[1], "<|eot_id|>"
    ),
    "mistral": Family(
        _template("mistral"), ("<s>", "</s>"), "<s>", "</s>", "</s>", takes_system=False
    ),
    "mistral-v3": Family(
        _template("mistral-v3"), ("<s>", "</s>", "[INST]", "[/INST]"), "<s>", "</s>", "</s>"
    ),
    "gemma": Family(
        _template("gemma"),
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
        takes_system=False,
    ),
    "phi-3": Family(_template("phi-3"), _PHI_TOKENS, None, _END, "<|end|>"),
    "phi-3-swallowing": Family(
        _template("phi-3"), _PHI_TOKENS, None, _END, "<|end|>", swallows=True
    ),
    "qwen-2.5": Family(_template("qwen-2.5"), _CHATML_TOKENS, None, _IM_END, _IM_END),
    "qwen-3": Family(_template("qwen-3"), _CHATML_TOKENS, None, _IM_END, _IM_END),
    "zephyr": Family(_template("zephyr"), ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "vicuna": Family(_template("vicuna"), ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "deepseek": Family(
        _template("deepseek"), _DEEPSEEK_TOKENS, *_DEEPSEEK_TOKENS[:2], _DEEPSEEK_TOKENS[1]
    ),
    "tulu": Family(_template("tulu"), (_END,), None, _END, _END),
    "olmo": Family(_template("olmo"), (_END,), _END, _END, _END),
    "command-r": Family(
        _template("command-r"), _COHERE_TOKENS, "<BOS_TOKEN>", _TURN_TOKENS[1], _TURN_TOKENS[1]
    ),
    "falcon": Family(_template("falcon"), (_END,), None, _END, _END),
    "generation": Family(_template("generation"), _CHATML_TOKENS, None, _IM_END, _IM_END),
    "glm-generation": Family(_template("glm-generation"), _GLM_TOKENS, None, _END, _END),
    "glm-4": Family(_template("glm-4"), _GLM_TOKENS, None, _END, "<|user|>"),
    "gpt-oss": Family(_template("gpt-oss"), _GPT_OSS_TOKENS, None, "<|return|>", "<|return|>"),
    "macro": Family(_template("macro"), _CHATML_TOKENS, None, _IM_END, _IM_END),
}


def _gpt2() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def _qwen() -> Tokenizer:
    backend = _gpt2()
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return backend


def _sentencepiece(
    normalizer: normalizers.Normalizer | None, splitter: pre_tokenizers.PreTokenizer | None
) -> Tokenizer:
    """BPE over ▁ with byte fallback, as converted from sentencepiece."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=250, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    spec = json.loads(backend.to_str())["model"]
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    for token in spec["vocab"]:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(pair) for pair in spec["merges"]]
    model = models.BPE(vocabulary, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    backend = Tokenizer(model)
    if normalizer is not None:
        backend.normalizer = normalizer
    if splitter is not None:
        backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if splitter or normalizer else []),
        ]
    )
    return backend


def _llama() -> Tokenizer:
    return _sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))


def _llama_legacy() -> Tokenizer:
    prepends = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _sentencepiece(prepends, None)


def _gemma() -> Tokenizer:
    backend = _sentencepiece(normalizers.Replace(" ", "▁"), None)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def _unigram() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    alphabet = [chr(c) for c in range(32, 127)] + ["\n", "\t"]
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=["<unk>"],
        unk_token=UNKNOWN,
    )
    backend.train_from_iterator([text * 3 for text in TEXTS], trainer)
    return backend


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": _gpt2,
    "qwen": _qwen,
    "llama": _llama,
    "llama-legacy": _llama_legacy,
    "gemma": _gemma,
    "unigram": _unigram,
}


@functools.cache
def _spec(kind: str) -> str:
    return str(KINDS[kind]().to_str())


def codec(family: Family, kind: str) -> Codec:
    """Return a tokenizer of the given type with the special tokens of a family."""
    backend = Tokenizer.from_str(_spec(kind))
    backend.add_special_tokens(
        [AddedToken(s, normalized=False, rstrip=family.swallows) for s in family.specials]
    )
    names = {"eos_token": family.eos} | ({"bos_token": family.bos} if family.bos else {})
    if family.bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A",
            special_tokens=[(family.bos, backend.token_to_id(family.bos))],
        )
    return make_tokenizer(backend, special_tokens_map=names)

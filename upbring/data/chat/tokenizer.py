"""A model's tokenizer: encodes text to tokens and decodes tokens, without running model code.

Encoding adds no tokens: BOS and EOS appear only where the text contains them or `chat.py` adds
them. Encoding distinguishes two cases that are easily confused:

- *trusted* text, in which `</s>` is the special token, and untrusted text, in which `</s>` is four
  ordinary characters;
- text at the *start*, where some tokenizers prepend a space (`hello` becomes `▁hello`), and a
  *continuation*, where they do not.

Left out: reading the files (`tokenizer_files.py`) and dialogues (`chat.py`).
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

from upbring import durable
from upbring.errors import InputError

END_OF_TEXT = "<|endoftext|>"
# For an exported classifier whose tokenizer has no usable padding token.
PAD_TOKEN = "<|pad|>"  # noqa: S105 -- not a password
_MIN_VOCAB_SIZE = 257  # one token per byte, and end-of-text


@contextmanager
def explain_panics(folder: Path | None) -> Iterator[None]:
    """Turn a panic of the Rust library, which is no Exception, into an error of its files."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        durable.raise_resource_error(error)
        reason = (str(error).splitlines() or ["panic"])[0][:160]
        raise InputError(
            f"{folder or 'tokenizer'}: the tokenizers library gave up ({reason}); "
            "tokenizer.json is damaged or not meant for texts, use another one"
        ) from error


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A `tokenizers` backend with the special tokens and the chat template of the model's files.

    `special_token_ids` maps each special token's text to its id. `special_tokens_map` maps the name
    that a template uses (`eos_token`) to the text. `fingerprint` is a hash of everything that
    determines a text's tokens.
    """

    backend: tokenizers.Tokenizer
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    bos_token: str = ""
    eos_token: str = ""
    special_token_ids: Mapping[str, int] = field(default_factory=dict)
    chat_template: str | None = None
    folder: Path | None = None
    fingerprint: str = ""
    adds_bos: bool = False
    special_tokens_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Vocabulary size, including added tokens."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(
        self, text: str, *, trusted: bool = True, is_continuation: bool = False
    ) -> list[int]:
        """Return the text's tokens.

        In untrusted text, the spelling of a special token is encoded as plain text. With
        `is_continuation`, the text continues other text, so no space is prepended.
        """
        return self.encode_batch([text], trusted=trusted, is_continuation=is_continuation)[0]

    def encode_batch(
        self, texts: Sequence[str], *, trusted: bool = True, is_continuation: bool = False
    ) -> list[list[int]]:
        """Return the tokens of each text, encoded in parallel."""
        quoted_indices = [
            i for i, text in enumerate(texts) if not trusted and self.special_pattern.search(text)
        ]
        plain_texts = list(texts)
        for i in quoted_indices:
            plain_texts[i] = ""
        backend = self._continuation_backend if is_continuation else self.backend
        try:
            with explain_panics(self.folder):
                encoded = backend.encode_batch_fast(plain_texts, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(
                "text: it contains half of a surrogate pair (such as \\ud83d alone), which is not "
                "a character; write the whole character, or remove it"
            ) from error
        tokens = [encoding.ids for encoding in encoded]
        for i in quoted_indices:
            tokens[i] = self._encode_as_plain_text(texts[i], is_continuation)
        return tokens

    def decode(self, tokens: Sequence[int], *, with_special_tokens: bool = False) -> str:
        """Return the tokens' text, by default without special tokens."""
        with explain_panics(self.folder):
            text: str = self.backend.decode(
                list(tokens), skip_special_tokens=not with_special_tokens
            )
        return text

    @functools.cached_property
    def special_pattern(self) -> re.Pattern[str]:
        """Matches the text of any special token; the longest if several match."""
        longest_first = sorted(self.special_token_ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @functools.cached_property
    def added_pattern(self) -> re.Pattern[str]:
        """Matches the text of any added token, special or not."""
        added = [token.content for token in self.backend.get_added_tokens_decoder().values()]
        return re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)")

    @functools.cached_property
    def rstrip_tokens(self) -> frozenset[str]:
        """The special tokens that strip the whitespace after them."""
        added = self.backend.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special and token.rstrip)

    @functools.cached_property
    def lstrip_tokens(self) -> frozenset[str]:
        """The special tokens that strip the whitespace before them."""
        added = self.backend.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special and token.lstrip)

    @functools.cached_property
    def restarts_after_special(self) -> bool:
        """Whether text after a special token is encoded like text at the start."""
        for special, token in self.special_token_ids.items():
            whole = self.encode(special + "a")
            return whole != [token, *self.encode("a", is_continuation=True)]
        return False

    @functools.cached_property
    def _continuation_backend(self) -> tokenizers.Tokenizer:
        """The backend for continuations: it prepends no space."""
        spec = json.loads(self.backend.to_str())
        without_prefix = spec | {
            name: _without_prefix_space(spec[name]) for name in ("normalizer", "pre_tokenizer")
        }
        return (
            self.backend
            if without_prefix == spec
            else tokenizers.Tokenizer.from_str(json.dumps(without_prefix))
        )

    @functools.cached_property
    def _plain_text_backends(self) -> dict[bool, tokenizers.Tokenizer]:
        """Backends that encode special tokens as text, by `is_continuation`."""
        plain = {}
        for is_continuation, backend in ((False, self.backend), (True, self._continuation_backend)):
            plain[is_continuation] = tokenizers.Tokenizer.from_str(backend.to_str())
            plain[is_continuation].encode_special_tokens = True
        return plain

    @functools.cached_property
    def unk_token_id(self) -> int | None:
        """The id of the unknown token, which any text can be encoded to."""
        model = json.loads(self.backend.to_str())["model"]
        number = model.get("unk_id")
        return (
            number if number is not None else self.backend.token_to_id(model.get("unk_token") or "")
        )

    def _encode_as_plain_text(self, text: str, is_continuation: bool) -> list[int]:  # noqa: FBT001 -- the caller's flag
        """Return tokens without any special token, whatever the text contains."""
        special_ids = set(self.special_token_ids.values()) - {self.unk_token_id}
        tokens: list[int] = (
            self._plain_text_backends[is_continuation].encode(text, add_special_tokens=False).ids
        )
        if special_ids.isdisjoint(tokens):
            return tokens
        # The vocabulary itself contains the special token's text: split the text inside it.
        tokens = []
        position = 0
        for match in [*self.special_pattern.finditer(text), None]:
            parts = [
                text[position : match.start() if match else None],
                *(match.group() if match else ""),
            ]
            position = match.end() if match else position
            for part in filter(None, parts):
                is_part_continuation = is_continuation or bool(tokens)
                tokens += (
                    self._plain_text_backends[is_part_continuation]
                    .encode(part, add_special_tokens=False)
                    .ids
                )
        if not special_ids.isdisjoint(tokens):
            (spelling, *_) = self.special_pattern.findall(text)
            raise InputError(
                f"tokenizer: {spelling!r} in a text cannot be distinguished from the special "
                "token; remove it from the text"
            )
        return tokens


def make_tokenizer(
    backend: tokenizers.Tokenizer,
    *,
    special_tokens_map: Mapping[str, str],
    chat_template: str | None = None,
    folder: Path | None = None,
) -> Tokenizer:
    """Return the tokenizer of a backend; tokens in `special_tokens_map` become special tokens."""
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = False
    added = backend.get_added_tokens_decoder().values()
    known_special = {token.content for token in added if token.special}
    missing = [text for text in special_tokens_map.values() if text not in known_special]
    unmarked = [text for text in missing if backend.token_to_id(text) is not None]
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in unmarked])
    bos, eos = (
        backend.token_to_id(special_tokens_map.get(role, "")) for role in ("bos_token", "eos_token")
    )
    specials = {
        token.content: number
        for number, token in backend.get_added_tokens_decoder().items()
        if token.special
    }
    spec = json.loads(backend.to_str())
    spec["added_tokens"] = [each for each in spec["added_tokens"] if each["content"] != PAD_TOKEN]
    fingerprint_inputs = [spec, bos, eos]
    return Tokenizer(
        backend=backend,
        bos_token_id=bos,
        eos_token_id=eos,
        bos_token=special_tokens_map.get("bos_token", ""),
        eos_token=special_tokens_map.get("eos_token", ""),
        special_token_ids=dict(sorted(specials.items(), key=lambda item: item[1])),
        chat_template=chat_template,
        folder=folder,
        fingerprint=hashlib.sha256(
            json.dumps(fingerprint_inputs, sort_keys=True).encode()
        ).hexdigest(),
        adds_bos=bos is not None and backend.encode("a").ids[:1] == [bos],
        special_tokens_map=dict(special_tokens_map),
    )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer of at most `vocab_size` tokens, trained on `texts`.

    It has a token for every byte and one special token, `<|endoftext|>`, which is BOS and EOS.
    """
    if vocab_size < _MIN_VOCAB_SIZE:
        raise InputError(
            f"tokenizer: a vocabulary of {vocab_size} tokens is too small for the 256 bytes; use "
            f"{_MIN_VOCAB_SIZE} or more"
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    backend.train_from_iterator(texts, trainer)
    end = backend.token_to_id(END_OF_TEXT)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, end)]
    )
    return make_tokenizer(
        backend, special_tokens_map={"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    )


def _without_prefix_space(component: Any) -> Any:  # noqa: ANN401 -- the library's JSON
    """Return a normalizer or pre-tokenizer that prepends no space."""
    if isinstance(component, list):
        return [
            _without_prefix_space(item) for item in component if _component_type(item) != "Prepend"
        ]
    if not isinstance(component, dict):
        return component
    if _component_type(component) == "Prepend":
        return None
    stripped = {name: _without_prefix_space(value) for name, value in component.items()}
    if _component_type(component) == "Metaspace":
        stripped["prepend_scheme"] = "never"
    if _component_type(component) == "ByteLevel":
        stripped["add_prefix_space"] = False
    return stripped


def _component_type(component: Any) -> str:  # noqa: ANN401 -- as above
    """Return the `type` field of a component in tokenizer.json."""
    return str(component.get("type", "")) if isinstance(component, dict) else ""

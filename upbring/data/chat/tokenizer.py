"""A model's tokenizer: text to tokens and back, read from its folder without running its code.

Nothing is ever added to what is encoded: BOS and EOS stand where the text spells them, or where
`chat` puts them. Two things are told apart that are easily confused:

- *trusted* text, in which `</s>` is the control token, and text of unknown origin, in which `</s>`
  is four characters like any others;
- text at the *start*, where some tokenizers prepend a space (`hello` becomes `▁hello`), and text
  further *inside*, where they do not.

Left out: reading the files (`tokenizer.py`) and all that is about dialogues (`chat.py`).
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

from upbring.errors import InputError

END = "<|endoftext|>"
PAD = "<|pad|>"  # what an exported classifier pads with, where nothing else can
_FEWEST = 257  # one token per byte, and the end


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A backend of the `tokenizers` library and what the model's files say about it.

    `specials` are the control tokens, `names` what a template calls them (`eos_token`), and
    `fingerprint` is a hash of all that decides which tokens a text becomes.
    """

    backend: tokenizers.Tokenizer
    bos: int | None = None
    eos: int | None = None
    bos_text: str = ""
    eos_text: str = ""
    specials: Mapping[str, int] = field(default_factory=dict)
    template: str | None = None
    files: Path | None = None
    fingerprint: str = ""
    adds_bos: bool = False
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str, *, trusted: bool = True, inside: bool = False) -> list[int]:
        """Return the text's tokens.

        Untrusted, the spelling of a control token is text. `inside` encodes what stands further
        inside a text: no space is prepended.
        """
        return self.encode_many([text], trusted=trusted, inside=inside)[0]

    def encode_many(
        self, texts: Sequence[str], *, trusted: bool = True, inside: bool = False
    ) -> list[list[int]]:
        """Return the tokens of many texts, encoded in parallel."""
        quoting = [i for i, text in enumerate(texts) if not trusted and self.control.search(text)]
        clean = list(texts)
        for i in quoting:
            clean[i] = ""
        backend = self._inner if inside else self.backend
        try:
            encoded = backend.encode_batch_fast(clean, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(
                "text: it holds half of a surrogate pair (such as \\ud83d alone), which is no "
                "character; write the whole character, or remove it"
            ) from error
        tokens = [encoding.ids for encoding in encoded]
        for i in quoting:
            tokens[i] = self._spelled(texts[i], inside)
        return tokens

    def decode(self, tokens: Sequence[int], *, with_specials: bool = False) -> str:
        """Return the tokens' text, without control tokens unless asked."""
        text: str = self.backend.decode(list(tokens), skip_special_tokens=not with_specials)
        return text

    @functools.cached_property
    def control(self) -> re.Pattern[str]:
        """Finds the spelling of any control token; the longest, where several fit."""
        longest_first = sorted(self.specials, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @functools.cached_property
    def added(self) -> re.Pattern[str]:
        """Finds the spelling of any added token, of control or not."""
        added = [token.content for token in self.backend.get_added_tokens_decoder().values()]
        return re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)")

    @functools.cached_property
    def takes_space_after(self) -> frozenset[str]:
        """The control tokens that swallow the white space after them."""
        added = self.backend.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special and token.rstrip)

    @functools.cached_property
    def takes_space_before(self) -> frozenset[str]:
        """The control tokens that swallow the white space before them."""
        added = self.backend.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special and token.lstrip)

    @functools.cached_property
    def starts_after_special(self) -> bool:
        """Whether text after a control token is encoded as text at the start is."""
        for special, token in self.specials.items():
            whole = self.encode(special + "a")
            return whole != [token, *self.encode("a", inside=True)]
        return False

    @functools.cached_property
    def _inner(self) -> tokenizers.Tokenizer:
        """The backend for text that is not at the start: it prepends nothing."""
        spec = json.loads(self.backend.to_str())
        bare = spec | {name: _bare(spec[name]) for name in ("normalizer", "pre_tokenizer")}
        return self.backend if bare == spec else tokenizers.Tokenizer.from_str(json.dumps(bare))

    @functools.cached_property
    def _plain(self) -> dict[bool, tokenizers.Tokenizer]:
        """Backends that take control tokens for text: at the start (False) and inside (True)."""
        plain = {}
        for inside, backend in ((False, self.backend), (True, self._inner)):
            plain[inside] = tokenizers.Tokenizer.from_str(backend.to_str())
            plain[inside].encode_special_tokens = True
        return plain

    @functools.cached_property
    def _unknown(self) -> int | None:
        """The token of what the model does not know, which any text may become."""
        model = json.loads(self.backend.to_str())["model"]
        number = model.get("unk_id")
        return (
            number if number is not None else self.backend.token_to_id(model.get("unk_token") or "")
        )

    def _spelled(self, text: str, inside: bool) -> list[int]:  # noqa: FBT001 -- its caller's flag, passed on
        """Return tokens of which none is a control token, whatever the text spells."""
        control = set(self.specials.values()) - {self._unknown}
        tokens: list[int] = self._plain[inside].encode(text, add_special_tokens=False).ids
        if control.isdisjoint(tokens):
            return tokens
        tokens = []  # the model itself knows the spelling: cut it in the middle
        place = 0
        for match in [*self.control.finditer(text), None]:
            parts = [
                text[place : match.start() if match else None],
                *(match.group() if match else ""),
            ]
            place = match.end() if match else place
            for part in filter(None, parts):
                is_inside = inside or bool(tokens)
                tokens += self._plain[is_inside].encode(part, add_special_tokens=False).ids
        if not control.isdisjoint(tokens):
            (spelling, *_) = self.control.findall(text)
            raise InputError(
                f"tokenizer: {spelling!r} in a text cannot be told from the control token; "
                "remove it from the text"
            )
        return tokens


def make_tokenizer(
    backend: tokenizers.Tokenizer,
    *,
    names: Mapping[str, str],
    template: str | None = None,
    files: Path | None = None,
) -> Tokenizer:
    """Return the tokenizer of a backend, with the control tokens that `names` gives a role."""
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = False
    added = backend.get_added_tokens_decoder().values()
    known = {token.content for token in added if token.special}
    missing = [text for text in names.values() if text not in known]
    unmarked = [text for text in missing if backend.token_to_id(text) is not None]
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in unmarked])
    bos, eos = (backend.token_to_id(names.get(role, "")) for role in ("bos_token", "eos_token"))
    specials = {
        token.content: number
        for number, token in backend.get_added_tokens_decoder().items()
        if token.special
    }
    spec = json.loads(backend.to_str())
    spec["added_tokens"] = [each for each in spec["added_tokens"] if each["content"] != PAD]
    decides = [spec, bos, eos]
    return Tokenizer(
        backend=backend,
        bos=bos,
        eos=eos,
        bos_text=names.get("bos_token", ""),
        eos_text=names.get("eos_token", ""),
        specials=dict(sorted(specials.items(), key=lambda item: item[1])),
        template=template,
        files=files,
        fingerprint=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        adds_bos=bos is not None and backend.encode("a").ids[:1] == [bos],
        names=dict(names),
    )


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer of at most `size` tokens, learned from `texts`.

    It knows every byte, and one control token, `<|endoftext|>`, which begins and ends a text.
    """
    if size < _FEWEST:
        raise InputError(
            f"tokenizer: a size of {size} has no room for the 256 bytes; use {_FEWEST} or more"
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    backend.train_from_iterator(texts, trainer)
    end = backend.token_to_id(END)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, end)]
    )
    return make_tokenizer(backend, names={"bos_token": END, "eos_token": END})


def _bare(part: Any) -> Any:  # noqa: ANN401 -- JSON of the library's own making
    """Return a normaliser or pre-tokenizer that prepends nothing."""
    if isinstance(part, list):
        return [_bare(item) for item in part if _kind(item) != "Prepend"]
    if not isinstance(part, dict):
        return part
    if _kind(part) == "Prepend":
        return None
    bare = {name: _bare(value) for name, value in part.items()}
    if _kind(part) == "Metaspace":
        bare["prepend_scheme"] = "never"
    if _kind(part) == "ByteLevel":
        bare["add_prefix_space"] = False
    return bare


def _kind(part: Any) -> str:  # noqa: ANN401 -- as above
    """Return the type that a part of a tokenizer.json names."""
    return str(part.get("type", "")) if isinstance(part, dict) else ""

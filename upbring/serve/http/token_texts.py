"""The text and the bytes of single tokens, for log-probabilities."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from upbring.data.chat.tokenizer import Tokenizer

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "\u2581"  # of SentencePiece


@dataclass(frozen=True, eq=False)
class TokenTexts:
    """Looks up tokens of one vocabulary."""

    tokenizer: Tokenizer

    @cached_property
    def _is_byte_level(self) -> bool:
        decoder = json.loads(self.tokenizer.backend.to_str()).get("decoder") or {}
        parts = decoder.get("decoders") or [decoder]
        return any(part.get("type") == "ByteLevel" for part in parts)

    @cached_property
    def _byte_of(self) -> dict[str, int]:
        """The byte of each character of a byte-level vocabulary (Radford et al. 2019)."""
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        return {chr(byte): byte for byte in printable} | {
            chr(256 + i): byte for i, byte in enumerate(others)
        }

    @cached_property
    def _added(self) -> dict[int, str]:
        added = self.tokenizer.backend.get_added_tokens_decoder()
        return {number: token.content for number, token in added.items()}

    def token_bytes(self, token: int) -> bytes:
        """Return a token's bytes, which may be a part of a character."""
        if token in self._added:
            return self._added[token].encode()
        piece = self.tokenizer.backend.id_to_token(token)
        if piece is None:
            return b""
        if self._is_byte_level:
            return bytes(self._byte_of[c] for c in piece if c in self._byte_of)
        if match := BYTE_TOKEN.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return str(piece).replace(SPACE_MARK, " ").encode()

    def token_text(self, token: int) -> str:
        r"""Return a token's text; a part of a character is written like `bytes:\xe2\x82`."""
        data = self.token_bytes(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def offsets(self, tokens: Sequence[int], *, start: int = 0) -> list[int]:
        """Return the number of characters before each token."""
        data, found = b"", []
        for token in tokens:
            found.append(start + len(data.decode(errors="ignore")))
            data += self.token_bytes(token)
        return found

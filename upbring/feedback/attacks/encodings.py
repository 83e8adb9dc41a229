"""Encodings of a request that a model may decode, each with its inverse."""

import base64
import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from upbring.maths.random_draws import RandomStream

_CODES = """
a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s...
t- u..- v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---..
9----. ..-.-.- ,--..-- ?..--.. '.----. !-.-.-- /-..-. :---... =-...- --....- ".-..-. @.--.-. (-.--.
)-.--.-
"""
_MORSE = {each[0]: each[1:] for each in _CODES.split()}
_MORSE_LETTERS = {code: letter for letter, code in _MORSE.items()}
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_ATBASH = str.maketrans(_LOWER + _LOWER.upper(), _LOWER[::-1] + _LOWER[::-1].upper())


@dataclass(frozen=True, slots=True)
class Encoding:
    """A reversible encoding; `keeps` is what remains of a text after decoding."""

    name: str  # as the prompt names it
    encode: Callable[[str], str]
    decode: Callable[[str], str]
    keeps: Callable[[str], str] = str


def _encode_morse(text: str) -> str:
    words = (" ".join(_MORSE[c] for c in word if c in _MORSE) for word in text.casefold().split())
    return " / ".join(word for word in words if word)


def _decode_morse(code: str) -> str:
    words = (word.split() for word in code.split(" / "))
    return " ".join("".join(_MORSE_LETTERS[letter] for letter in word) for word in words)


def _keep_morse(text: str) -> str:
    words = ("".join(c for c in word if c in _MORSE) for word in text.casefold().split())
    return " ".join(word for word in words if word)


def _to_base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="surrogatepass")).decode()


def _from_base64(code: str) -> str:
    return base64.b64decode(code).decode(errors="surrogatepass")


def _to_hex(text: str) -> str:
    return text.encode(errors="surrogatepass").hex(" ")


def _from_hex(code: str) -> str:
    return bytes.fromhex(code).decode(errors="surrogatepass")


def _reverse(text: str) -> str:
    return text[::-1]


def _reverse_words(text: str) -> str:
    return " ".join(reversed(text.split(" ")))


def _atbash(text: str) -> str:
    return text.translate(_ATBASH)


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {
        "base64": Encoding("Base64", _to_base64, _from_base64),
        "hex": Encoding("hexadecimal", _to_hex, _from_hex),
        "rot13": Encoding("ROT13", _rot13, _rot13),
        "atbash": Encoding("a mirrored alphabet (a is z, b is y)", _atbash, _atbash),
        "morse": Encoding("Morse code", _encode_morse, _decode_morse, _keep_morse),
        "reversed": Encoding("letters in reverse order", _reverse, _reverse),
        "reversed words": Encoding("words in reverse order", _reverse_words, _reverse_words),
    }
)
FRAMES = (
    "This message is written in {name}. Read it and answer it.\n{code}",
    "{code}\nThe line above is {name}. Answer what it says.",
    "Decode this ({name}) and reply to it: {code}",
)


def encode_request(text: str, rng: RandomStream) -> str:
    """Return the request in a random encoding, with its name.

    >>> encode_request("Hi", RandomStream(1)).startswith("T")
    True
    """
    usable = [each for each in ENCODINGS.values() if each.encode(text)]
    encoding = rng.choice(usable)
    frame = rng.choice(FRAMES).replace("{name}", encoding.name)
    return frame.replace("{code}", encoding.encode(text))

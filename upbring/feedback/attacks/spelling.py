"""Changes of the letters of a request: noise, invisible and look-alike characters, respelling.

The noise is that of Best-of-N (Hughes et al. 2024, arXiv 2412.03556): inner letters are scrambled
and capitals are random with probability √σ, and characters move by one in the code with σ³.
"""

import math
import re
import unicodedata

from upbring.maths.random_draws import RandomStream

NOISE = 0.4  # σ
INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff")
_CYRILLIC = (
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
    "\u0410\u0412\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425"
)
LOOKALIKES = dict(zip("aceijopsxyABEHKMOPTX", _CYRILLIC, strict=True))
_ORIGINALS = {other: letter for letter, other in LOOKALIKES.items()}
MARKS = ("\u0301", "\u0308", "\u0323", "\u0331")
_DIGITS = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
_WORD = re.compile(r"[^\W\d_]+")
_MIN_SCRAMBLED = 4
_FIRST_PRINTABLE, _LAST_PRINTABLE = 32, 126


def add_noise(text: str, rng: RandomStream) -> str:
    """Return the text with scrambled words, random capitals and a few other characters."""
    scrambled = _WORD.sub(lambda match: _scramble(match[0], rng), text)
    capitals = "".join(
        c.swapcase() if rng.bernoulli(math.sqrt(NOISE)) and len(c.swapcase()) == 1 else c
        for c in scrambled
    )
    return "".join(_move(c, rng) if rng.bernoulli(NOISE**3) else c for c in capitals)


def add_typos(text: str, rng: RandomStream) -> str:
    """Return the text with about one typing error in three words: a swap, a loss or a double."""
    return _WORD.sub(lambda m: _mistype(m[0], rng) if rng.bernoulli(1 / 3) else m[0], text)


def hide_characters(text: str, rng: RandomStream) -> str:
    """Return the text with invisible characters, look-alike letters or combining marks."""
    change = rng.choice((insert_invisible, replace_lookalikes, add_marks))
    return change(text, rng)


def insert_invisible(text: str, rng: RandomStream) -> str:
    """Return the text with invisible characters after about half of its letters, at least one."""
    parts = [c + rng.choice(INVISIBLE) if rng.bernoulli(0.5) else c for c in text]
    return "".join(parts) + ("" if "".join(parts) != text else rng.choice(INVISIBLE))


def replace_lookalikes(text: str, rng: RandomStream) -> str:
    """Return the text with letters of other alphabets that look the same."""
    return "".join(LOOKALIKES.get(c, c) if rng.bernoulli(0.7) else c for c in text)


def add_marks(text: str, rng: RandomStream) -> str:
    """Return the text with combining marks on about a third of its letters."""
    return "".join(
        c + rng.choice(MARKS) if c.isascii() and c.isalpha() and rng.bernoulli(1 / 3) else c
        for c in text
    )


def visible_text(text: str) -> str:
    r"""Return a text without invisible characters, look-alikes and marks.

    >>> visible_text("p\u200b\u0430int\u0301")
    'paint'
    """
    plain = "".join(_ORIGINALS.get(c, c) for c in text if c not in INVISIBLE)
    return "".join(c for c in plain if not unicodedata.combining(c))


def respell(text: str, rng: RandomStream) -> str:
    """Return the text with digits for letters, without vowels, spaced out, or in pig Latin."""
    return rng.choice((to_digits, drop_vowels, space_out, to_pig_latin))(text)


def to_digits(text: str) -> str:
    """Return the text with digits for some letters.

    >>> to_digits("Paint a boat")
    'P41n7 4 b047'
    """
    return "".join(_DIGITS.get(c, c) for c in text)


def drop_vowels(text: str) -> str:
    """Return the text without the vowels inside of long words.

    >>> drop_vowels("Paint a boat")
    'Pnt a bt'
    """
    return _WORD.sub(
        lambda m: m[0][0] + re.sub("[aeiou]", "", m[0][1:]) if len(m[0]) > 2 else m[0],  # noqa: PLR2004 -- short words stay
        text,
    )


def space_out(text: str) -> str:
    """Return the text with a hyphen between the letters of each word.

    >>> space_out("a boat")
    'a b-o-a-t'
    """
    return _WORD.sub(lambda m: "-".join(m[0]), text)


def to_pig_latin(text: str) -> str:
    """Return the text in pig Latin.

    >>> to_pig_latin("paint a boat")
    'aintpay away oatbay'
    """
    return _WORD.sub(lambda m: _pig_latin(m[0]), text)


def _pig_latin(word: str) -> str:
    match = re.match(r"[^aeiouAEIOU]*", word)
    head = match[0] if match else ""
    return f"{word[len(head) :]}{head}{'ay' if head else 'way'}"


def _scramble(word: str, rng: RandomStream) -> str:
    if len(word) < _MIN_SCRAMBLED or not rng.bernoulli(math.sqrt(NOISE)):
        return word
    return word[0] + "".join(rng.shuffled(word[1:-1])) + word[-1]


def _move(character: str, rng: RandomStream) -> str:
    moved = ord(character) + rng.choice((-1, 1))
    is_printable = _FIRST_PRINTABLE <= moved <= _LAST_PRINTABLE
    return chr(moved) if is_printable else character


def _mistype(word: str, rng: RandomStream) -> str:
    if len(word) < _MIN_SCRAMBLED:
        return word
    at = 1 + rng.randbelow(len(word) - 2)
    errors = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
    )
    return rng.choice(errors)

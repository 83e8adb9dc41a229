"""Detect and redact personal data and secrets in text, with patterns and checksums.

Detected: e-mail addresses, phone numbers (E.164 and common national formats), payment cards (Luhn),
IBANs (mod 97), IP addresses, keys and tokens. Not detected: names, postal addresses, dates of
birth, and phone numbers of bare digits without a word such as `tel` before them. Every pattern is
bounded or cannot start inside its own match, so the time is linear in the length of the text.
"""

import ipaddress
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

PersonalDataKind = Literal["KEY", "EMAIL", "IBAN", "CARD", "IP", "PHONE"]


@dataclass(frozen=True, slots=True)
class PersonalDataMatch:
    """The span of an item of personal data, and a redacted form that may be shown."""

    kind: PersonalDataKind
    start: int
    end: int
    redacted: str


def find_personal_data(text: str) -> list[PersonalDataMatch]:
    """Return the personal data in the text, in order, without overlaps.

    >>> matches = find_personal_data("Write to ada@example.org or +44 20 7946 0958.")
    >>> [(match.kind, match.redacted) for match in matches]
    [('EMAIL', 'ad…rg'), ('PHONE', '+4…58')]
    """
    accepted: list[tuple[int, int, PersonalDataKind]] = []
    # Earlier finders are more reliable, so their kind wins: a card is not a phone number.
    spans = chain.from_iterable(find_kind(text) for find_kind in _applicable_finders(text))
    by_start: dict[int, tuple[int, PersonalDataKind]] = {}
    for start, end, kind in spans:
        if start not in by_start:
            by_start[start] = (end, kind)
    for start in sorted(by_start):
        end, kind = by_start[start]
        if accepted and start < accepted[-1][1]:
            if _PRIORITY[kind] >= _PRIORITY[accepted[-1][2]]:
                continue
            accepted.pop()
        accepted.append((start, end, kind))
    return [
        PersonalDataMatch(kind, a, b, f"{text[a : a + 2]}…{text[b - 2 : b]}")
        for a, b, kind in accepted
    ]


def scrub(text: str) -> tuple[str, Counter[str]]:
    """Return the text with personal data replaced by [EMAIL] and so on, and the count of each kind.

    >>> scrub("Mail ada@example.org")
    ('Mail [EMAIL]', Counter({'EMAIL': 1}))
    """
    matches = find_personal_data(text)
    parts, position = [], 0
    for match in matches:
        parts += [text[position : match.start], f"[{match.kind}]"]
        position = match.end
    return "".join([*parts, text[position:]]), Counter(match.kind for match in matches)


KindSpan = tuple[int, int, PersonalDataKind]
Finder = Callable[[str], Iterator[KindSpan]]
_PRIORITY: dict[PersonalDataKind, int] = {
    "KEY": 0,
    "EMAIL": 1,
    "IBAN": 2,
    "CARD": 3,
    "IP": 4,
    "PHONE": 5,
}

_GITHUB_PREFIXES = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
_KEY_PREFIXES = (
    *(
        "sk-",
        "sk_",
        "rk_",
        "pk_",
        "AKIA",
        "ASIA",
        *_GITHUB_PREFIXES,
        "glpat-",
        "xox",
        "AIza",
        "hf_",
        "npm_",
    ),
    *("eyJ", "-----BEGIN"),
)
_DIGIT = re.compile(r"\d")
_LONG_NUMBER = re.compile(r"\d(?:\D{0,5}\d){6}")  # every card and phone number has more digits
_DOTTED = re.compile(r"\d\.\d{1,3}\.\d")
_IBAN_PREFIX = re.compile(r"[A-Z]{2}\d\d")

_KEY = re.compile(
    r"""
    (?<![A-Za-z0-9_-])(?:
      sk-[A-Za-z0-9_-]{20,}+
    | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}+
    | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
    | gh[pousr]_[A-Za-z0-9]{36,}+
    | github_pat_[A-Za-z0-9_]{22,}+
    | glpat-[A-Za-z0-9_-]{20,}+
    | xox[abprs]-[A-Za-z0-9-]{10,}+
    | AIza[A-Za-z0-9_-]{35}
    | (?:hf|npm)_[A-Za-z0-9]{30,}+
    | eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+
    )
    """,
    re.VERBOSE,
)
_KEY_BLOCK = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----")
_MAX_KEY_BLOCK = 1 << 14  # an RSA key of 16,384 bits takes 12,700 characters

_LOCAL_PART_CHARACTERS = string.ascii_letters + string.digits + "._%+'-"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![a-z])")
_IBAN_LENGTHS = dict(
    re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 "
        "EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 "
        "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 "
        "NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 "
        "TN24 TR26 UA29 VA22 VG24 XK20",
    )
)

_CARD = re.compile(
    r"(?<!\d)(?=(\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?!\d)"
    r"|\d{4}([ -])\d{6}\3\d{4,5}(?!\d)|\d{13,19}(?!\d)))"
)
_DOUBLED_DIGIT_SUMS = str.maketrans("0123456789", "0246813579")  # the digit sum of twice the digit
_ISSUER = re.compile(
    r"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[068]\d{12}"
    r"|(?:6011|64[4-9]\d|65\d\d|35\d\d|62\d\d)\d{12})\Z"
)

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_NOT_IP_CONTEXT = re.compile(
    r"(?:\b(?:version|ver|release|build|section|sec|chapter|clause|paragraph|firmware|driver)s?\.?"
    r"[ :#]{0,2}|[A-Za-z]/|[=<>~!]=[ ]?|\^|§[ ]?)\Z",
    re.IGNORECASE,
)

_PHONE_INTERNATIONAL = re.compile(
    r"(?<![\w+])(?:\+|00(?=[1-9]\d{0,2}[ (/-]))[1-9]\d{0,2}"
    r"(?: ?\(\d{1,5}\))?(?:[ ./-]{0,2}\d){4,12}(?!\d)"
)
_PHONE_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+/-])(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-. ])"
    r"[2-9]\d\d[-. ]\d{4}(?![\w]|[-.]\d)"
)
_PHONE_TRUNK_PREFIX = re.compile(
    r"(?<![\w.,+/:-])(?:\(0\d{1,5}\)|0[1-9]\d{0,4})"
    r"(?:[ /.-]{1,3}\d{2,8}){1,5}(?![\w]|[-.]\d)"
)
_PHONE_BARE_DIGITS = re.compile(r"(?<![\w.,+/:-])\d{9,12}(?![\w]|[-.]\d)")
_PHONE_CUE = re.compile(
    r"(?:phone|tel|telephone|mobile|cell|call|fax|whatsapp|sms)\b[^\d\n]{0,16}\Z", re.IGNORECASE
)
_DATE = re.compile(r"\(?\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)?\d\d(?!\d)(?![ .-]\d\d[ .-]\d\d)")
_NOT_PHONE = re.compile(r"\+\d{1,3}\.\d+\Z|\+\d{4}-\d\d-\d\d")
_CALLING_CODE = re.compile(
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[058]\d|9[679]\d)"
)


def _applicable_finders(text: str) -> Iterator[Finder]:
    """Yield the finders that may match; these cheap tests rule out most texts and lose no match."""
    if any(key_prefix in text for key_prefix in _KEY_PREFIXES):
        yield _find_keys
    if "@" in text:
        yield _find_emails
    has_digits = _DIGIT.search(text) is not None
    has_number = has_digits and _LONG_NUMBER.search(text) is not None
    if has_digits and _IBAN_PREFIX.search(text):
        yield _find_ibans
    if has_number:
        yield _find_cards
    if text.count(":") > 1 or (has_digits and _DOTTED.search(text)):
        yield _find_ips
    if has_number:
        yield _find_phones


def _find_keys(text: str) -> Iterator[KindSpan]:
    for match in _KEY.finditer(text):
        yield *match.span(), "KEY"
    end = 0  # start of the last END marker that was found, or -1 if there are no more
    for match in _KEY_BLOCK.finditer(text):
        if 0 <= end < match.end():
            end = text.find("-----END ", match.end())
        is_near = 0 <= end - match.end() < _MAX_KEY_BLOCK
        last = text.find("KEY-----", end, end + 64) if is_near else -1
        yield match.start(), last + len("KEY-----") if last >= 0 else match.end(), "KEY"


def _find_emails(text: str) -> Iterator[KindSpan]:
    at = text.find("@")
    while at >= 0:
        domain = (
            _DOMAIN.match(text, at + 1) if at and text[at - 1] in _LOCAL_PART_CHARACTERS else None
        )
        if domain:
            before = text[max(0, at - 64) : at]
            local = before[len(before.rstrip(_LOCAL_PART_CHARACTERS)) :].lstrip(".'")
            if local and local[-1] != ".":
                yield at - len(local), domain.end(), "EMAIL"
        at = text.find("@", at + 1)


def _find_ibans(text: str) -> Iterator[KindSpan]:
    for match in _IBAN.finditer(text):
        length = int(_IBAN_LENGTHS.get(match.group()[:2], 0))
        positions = [k for k in range(*match.span()) if text[k] != " "][:length]
        compact = "".join(text[k] for k in positions)
        ends_word = bool(positions) and not text[positions[-1] + 1 : positions[-1] + 2].isalnum()
        if length and len(compact) == length and ends_word and _mod_97(compact) == 1:
            yield match.start(), positions[-1] + 1, "IBAN"


def _mod_97(iban: str) -> int:
    digits = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return int(digits) % 97


def _find_cards(text: str) -> Iterator[KindSpan]:
    for match in _CARD.finditer(text):
        digits = match.group(1).replace(" ", "").replace("-", "")
        if _ISSUER.match(digits) and _passes_luhn(digits) and len(set(digits)) > 1:
            yield *match.span(1), "CARD"


def _passes_luhn(digits: str) -> bool:
    single, doubled = digits[-1::-2], digits[-2::-2].translate(_DOUBLED_DIGIT_SUMS)
    return sum(map(int, single + doubled)) % 10 == 0


def _find_ips(text: str) -> Iterator[KindSpan]:
    for match in chain(_IPV4.finditer(text), _IPV6.finditer(text)):
        before = text[max(0, match.start() - 16) : match.start()]
        if _NOT_IP_CONTEXT.search(before):
            continue
        try:
            address = ipaddress.ip_address(match.group())
        except ValueError:
            continue
        groups = [group for group in match.group().split(":") if group]
        is_likely_code = address.version == 6 and all(len(group) < 3 for group in groups[:3])  # noqa: PLR2004 -- a::b is code
        if not (address.is_unspecified or address.is_loopback or is_likely_code):
            yield *match.span(), "IP"


def _find_phones(text: str) -> Iterator[KindSpan]:
    for match in _PHONE_INTERNATIONAL.finditer(text):
        number = match.group()
        digits = re.sub(r"\D", "", number).removeprefix("00")
        if 8 <= len(digits) <= 15 and _CALLING_CODE.match(digits) and not _NOT_PHONE.match(number):  # noqa: PLR2004 -- E.164
            yield *match.span(), "PHONE"
    for match in _PHONE_NORTH_AMERICAN.finditer(text):
        yield *match.span(), "PHONE"
    for match in _PHONE_TRUNK_PREFIX.finditer(text):
        size = len(re.sub(r"\D", "", match.group()))
        if 9 <= size <= 12 and not _DATE.match(match.group()):  # noqa: PLR2004 -- with the trunk's 0
            yield *match.span(), "PHONE"
    for match in _PHONE_BARE_DIGITS.finditer(text):
        if _PHONE_CUE.search(text[max(0, match.start() - 32) : match.start()]):
            yield *match.span(), "PHONE"

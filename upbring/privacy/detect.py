"""Detect and redact personal data and secrets in text, with patterns and checksums.

Detected: e-mail addresses, phone numbers (E.164 and common national formats), payment cards (Luhn),
IBANs (mod 97), IP addresses, keys and tokens (`keys`). Not detected: names, postal addresses, dates
of birth, and phone numbers without +, a leading 0 or a word such as `tel` before them. Patterns are
bounded or cannot start inside their own match, so the time is linear in the length of the text.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal

from upbring.privacy.keys import KEY_PREFIXES, find_keys

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
    original, text = text, text.translate(_SPACES)  # spaces of one width; no position changes
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
        PersonalDataMatch(kind, a, b, f"{original[a : a + 2]}…{original[b - 2 : b]}")
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


def _find_keys(text: str) -> "Iterator[KindSpan]":
    for start, end in find_keys(text):
        yield start, end, "KEY"


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

_DIGIT = re.compile(r"\d")
_LONG_NUMBER = re.compile(r"\d(?:\D{0,5}\d){6}")  # every card and phone number has more digits
_DOTTED = re.compile(r"\d\.\d{1,3}\.\d")
_IBAN_PREFIX = re.compile(r"[A-Za-z]{2}\d\d")
_SPACES = str.maketrans(
    {**dict.fromkeys("\u00a0\u2007\u2009\u202f", " "), **dict.fromkeys("\u2010\u2011", "-")}
)

_LOCAL_PART = re.compile(r"(?:[\w.%+'&/=?^{|}~#$*!-]{1,64}|\"(?:[^\"\\\r\n@]|\\.){1,62}\")\Z")
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}(?:[^\W\d_]{2,24}|xn--[A-Za-z0-9-]{2,59})"
    r"(?![^\W_]|\()"  # a call, such as A@B.inv(), is code
)

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z]{2}|[a-z]{2})\d{2}(?=[ -]?[A-Za-z0-9])")
_MAX_IBAN = 48  # characters, with a separator after every four
_ONLY_DIGITS = frozenset(
    re.findall(
        "..",
        "AEATBABECZDEDKEEESFIFOGLHRHUILISLTMEMRNOPLPTRSSESISKTNXK",
    )
)
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
    r"(?<!\d)(?<!\d[.,])(?=(\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?!\d)"
    r"|\d{4}([ -])\d{6}\3\d{4,5}(?!\d)|\d{13,19}(?!\d)))"
)
_DOUBLED_DIGIT_SUMS = str.maketrans("0123456789", "0246813579")  # the digit sum of twice the digit
_ISSUER = re.compile(
    r"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[068]\d{12}"
    r"|(?:2131|1800)\d{11}|(?:6011|64[4-9]\d|65\d\d|35\d\d|62\d\d)\d{12})\Z"
)

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[A-Za-z]\w{0,31}:)??((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:])"
)
_PREFIX_LENGTH = re.compile(r"/\d{1,3}(?!\w)")
_NOT_IP_CONTEXT = re.compile(
    r"(?:\b(?:version|ver|release|build|section|sec|chapter|clause|paragraph|firmware|driver"
    r"|EC|netmask|mask)s?\.?[ :#=]{0,2}['\"]?|[A-Za-z]/|[=<>~!]=[ ]?|\^|§[ ]?)\Z",
    re.IGNORECASE,
)
_MAX_SECTION = 10  # 4.3.2.1 is the number of a section

_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?) ?\d{1,6})?"
_PHONE_INTERNATIONAL = re.compile(
    r"(?<![\w+])(?:\(\+[1-9]\d{0,2}\)|(?:\+|(?<![.,])00(?=[1-9]\d{0,2}[ (/-]))[1-9]\d{0,2})"
    r"(?: ?\(\d{1,5}\))?(?:[ ./-]{0,2}\d){4,12}(?!\d|[.,]\d)" + _EXTENSION
)
_PHONE_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+/-])(?<!\d )"
    r"(?:(?:1[-. ]{1,2})?\([2-9]\d\d\)[-. ]?[2-9]\d\d[-. ]"
    r"|1([-. ])[2-9]\d\d\1[2-9]\d\d\1|[2-9]\d\d([-. ])[2-9]\d\d\2)\d{4}"
    + _EXTENSION
    + r"(?![\w]|[-. ]\d|[.]\w)"
)
_PHONE_TRUNK_PREFIX = re.compile(
    r"(?<![\w.,+/-])(?<!\d )(?:\(0\d{1,5}\)(?:[ /.-]{0,3}\d{2,8})|0[1-9]\d{0,4}[ /.-]{1,3}\d{2,8})"
    r"(?:[ /.-]{1,3}\d{2,8}){0,4}(?![\w]|[-.]\d)"
)
_PHONE_AFTER_CUE = re.compile(
    r"(?<![\w.,+/-])(?<!\d )(?:\(\d{1,5}\) ?)?\d{1,12}(?:[ ./-]\d{2,8}){0,5}(?![\w]|[-./]\d)"
)
_PHONE_CUE = re.compile(
    r"(?:phone|tel|telephone|mobile|cell|call|fax|whatsapp|sms|telefon|telefono|teléfono|mobil"
    r"|handy|fon|tél|téléphone|móvil|celular)(?:nummer|s)?\b[^\d\n=<$]{0,16}\Z",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\(?\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)?\d\d(?!\d)(?![ .-]\d\d[ .-]\d\d)"
    r"|0[1-9]/(?:19|20)\d\d(?!\d)"
)
_ISO_DATE = re.compile(r"(?:19|20)\d\d[-./ ]\d\d[-./ ]\d\d(?!\d)|(?:19|20)\d\d-(?:19|20)\d\d(?!\d)")
_POSTAL_CODE = re.compile(r"\d{5}-\d{4}")  # ZIP+4
_NOT_PHONE = re.compile(r"\+\d+\.\d+\Z|\+\d{4}-\d\d-\d\d")
_NUMBER_LIST = re.compile(r"[ .,/-]{1,2}\d{1,2}(?!\d)")  # after a match: the run goes on
_CALLING_CODE = re.compile(
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[058]\d|9[679]\d)"
)
_MAX_PAIRS = 5  # groups of two digits in a phone number, as in France
_MAX_SINGLE_DIGITS = 2  # groups of one digit in a phone number


def _applicable_finders(text: str) -> Iterator[Finder]:
    """Yield the finders that may match; these cheap tests rule out most texts and lose no match."""
    if any(prefix in text for prefix in KEY_PREFIXES):
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


def _find_emails(text: str) -> Iterator[KindSpan]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        local = _LOCAL_PART.search(text[max(0, at - 66) : at]) if domain else None
        if domain and local:
            name = local.group().lstrip(".'/=?{|}~#$*!&")
            is_repository = name == "git" and text[domain.end() : domain.end() + 1] in {":", "/"}
            if name and name[-1] not in ".'" and not is_repository:
                yield at - len(name), domain.end(), "EMAIL"
        at = text.find("@", at + 1)


def _find_ibans(text: str) -> Iterator[KindSpan]:
    for match in _IBAN_START.finditer(text):
        country = match.group()[:2].upper()
        length = int(_IBAN_LENGTHS.get(country, 0))
        window = text[match.start() : match.start() + _MAX_IBAN]
        positions = [k for k, character in enumerate(window) if character not in " -"][:length]
        compact = "".join(window[k] for k in positions).upper()
        is_whole = length and len(compact) == length and compact.isascii() and compact.isalnum()
        if not is_whole or (country in _ONLY_DIGITS and not compact[2:].isdigit()):
            continue
        end = match.start() + positions[-1] + 1
        if not text[end : end + 1].isalnum() and _mod_97(compact) == 1:
            yield match.start(), end, "IBAN"


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
    spans = [match.span() for match in _IPV4.finditer(text)]
    spans += [match.span(1) for match in _IPV6.finditer(text)]
    for start, end in spans:
        if _NOT_IP_CONTEXT.search(text[max(0, start - 16) : start]):
            continue
        prefix_length = _PREFIX_LENGTH.match(text, end)
        written = text[start:end]
        try:
            address = ipaddress.ip_address(written)
        except ValueError:
            continue
        if prefix_length and _is_network(written + prefix_length.group()):
            continue
        if _is_personal_address(address):
            yield start, end, "IP"


def _is_network(text: str) -> bool:
    """Return whether an address with a prefix length, such as fc00::/7, names a whole network."""
    try:
        return ipaddress.ip_network(text).num_addresses > 1
    except ValueError:
        return False


def _is_personal_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address may belong to a machine, and is no mask, section number or code."""
    if address.is_unspecified or address.is_loopback:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return 0 < address.packed[0] < 255 and max(address.packed) >= _MAX_SECTION  # noqa: PLR2004 -- 255 begins a mask
    groups = [group for group in str(address).split(":") if group]
    is_code = all(len(group) < 3 for group in groups[:3])  # noqa: PLR2004 -- a::b is code
    return not is_code and not str(address).startswith("ffff:ffff")


def _find_phones(text: str) -> Iterator[KindSpan]:
    for match in _PHONE_INTERNATIONAL.finditer(text):
        number = match.group()
        digits = re.sub(r"\D", "", number).removeprefix("00")
        is_e164 = 8 <= len(digits) <= 15 and _CALLING_CODE.match(digits)  # noqa: PLR2004 -- E.164
        if is_e164 and not _NOT_PHONE.match(number) and not _is_number_list(text, match):
            yield *match.span(), "PHONE"
    for match in _PHONE_NORTH_AMERICAN.finditer(text):
        yield *match.span(), "PHONE"
    for match in _PHONE_TRUNK_PREFIX.finditer(text):
        has_cue = _PHONE_CUE.search(text[max(0, match.start() - 32) : match.start()]) is not None
        size = len(re.sub(r"\D", "", match.group()))
        is_other = bool(
            _DATE.match(match.group())
            or _POSTAL_CODE.fullmatch(match.group())
            or _is_number_list(text, match)
            or text[match.start() - 1 : match.start()] == ":"
        )
        if 9 <= size <= 13 and (has_cue or not is_other):  # noqa: PLR2004 -- with the trunk's 0
            yield *match.span(), "PHONE"
    for match in _PHONE_AFTER_CUE.finditer(text):
        if _PHONE_CUE.search(text[max(0, match.start() - 32) : match.start()]):
            size = len(re.sub(r"\D", "", match.group()))
            is_date = _DATE.fullmatch(match.group()) or _ISO_DATE.match(match.group())
            if 7 <= size <= 13 and not is_date and not _is_number_list(text, match):  # noqa: PLR2004 -- local to national
                yield *match.span(), "PHONE"


def _is_number_list(text: str, match: re.Match[str]) -> bool:
    """Return whether a number is part of a list of small numbers, such as 05 10 15 20 25 30."""
    groups = re.findall(r"\d+", match.group())
    if sum(len(group) == 1 for group in groups) > _MAX_SINGLE_DIGITS:
        return True
    if max(map(len, groups)) > 2:  # noqa: PLR2004 -- small numbers have at most two digits
        return False
    goes_on = _NUMBER_LIST.match(text, match.end()) or re.search(
        r"\d[ ,./-]{1,2}\Z", text[max(0, match.start() - 3) : match.start()]
    )
    steps = {int(b) - int(a) for a, b in pairwise(groups)}
    is_too_long = len(groups) > _MAX_PAIRS and "+" not in match.group()
    return bool(goes_on) or len(steps) == 1 or is_too_long

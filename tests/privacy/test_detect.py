import random
import string

import pytest

from upbring.privacy import detect

_LETTERS = string.ascii_lowercase
_ISSUERS = ["4", "51", "55", "2221", "34", "37", "6011", "65", "35"]
_IBANS = {"DE": "18n", "GB": "4a14n", "FR": "23n", "NL": "4a10n", "CH": "17n", "ES": "20n"}


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def _word(rng: random.Random, low: int = 3, high: int = 9) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(rng.randint(low, high)))


def _email(rng: random.Random) -> str:
    name = rng.choice(["{0}", "{0}.{1}", "{0}_{1}", "{0}+{1}", "{0}-{1}99"])
    host = rng.choice(["{}.com", "{}.co.uk", "mail.{}.org", "{}.museum", "x-{}.de"])
    return name.format(_word(rng), _word(rng)) + "@" + host.format(_word(rng))


def _card(rng: random.Random) -> str:
    issuer = rng.choice(_ISSUERS)
    size = 15 if issuer in {"34", "37"} else 16
    digits = issuer + _digits(rng, size - len(issuer) - 1)
    # Find the check digit by trying all ten; the sum is that of ISO/IEC 7812-1, annex B.
    for check in string.digits:
        total = 0
        for place, digit in enumerate(reversed(digits + check)):
            value = int(digit) * 2 if place % 2 else int(digit)
            total += value // 10 + value % 10
        if total % 10 == 0:
            digits += check
            break
    mark = rng.choice(["", " ", "-"])
    cuts = (4, 10, 15) if size == 15 else (4, 8, 12, 16)
    return mark.join(digits[a:b] for a, b in zip((0, *cuts), cuts, strict=False))


def _iban(rng: random.Random) -> str:
    country = rng.choice(sorted(_IBANS))
    kinds = {"4a14n": (4, 14), "4a10n": (4, 10)}
    letters, digits = kinds.get(_IBANS[country], (0, int(_IBANS[country].strip("an")[-2:])))
    account = "".join(rng.choice(string.ascii_uppercase) for _ in range(letters))
    account += _digits(rng, digits)
    as_number = "".join(str(int(c, 36)) for c in account + country + "00")
    iban = f"{country}{98 - int(as_number) % 97:02d}{account}"
    if rng.random() < 0.5:
        return iban
    return " ".join(iban[k : k + 4] for k in range(0, len(iban), 4))


def _e164(rng: random.Random) -> str:
    return rng.choice(
        [
            f"+1{rng.randint(2, 9)}{_digits(rng, 9)}",
            f"+1 {rng.randint(200, 999)} {rng.randint(200, 999)} {_digits(rng, 4)}",
            f"+1 ({rng.randint(200, 999)}) {rng.randint(200, 999)}-{_digits(rng, 4)}",
            f"+44 20 {_digits(rng, 4)} {_digits(rng, 4)}",
            f"+447{_digits(rng, 9)}",
            f"+49 30 {_digits(rng, 7)}",
            f"+49-151-{_digits(rng, 8)}",
            f"+33 6 {' '.join(_digits(rng, 2) for _ in range(4))}",
            f"+91 {_digits(rng, 5)} {_digits(rng, 5)}",
            f"+81-3-{_digits(rng, 4)}-{_digits(rng, 4)}",
            f"+358 40 {_digits(rng, 7)}",
            f"+8613{_digits(rng, 9)}",
        ]
    )


def _national(rng: random.Random) -> str:
    return rng.choice(
        [
            f"({rng.randint(200, 999)}) {rng.randint(200, 999)}-{_digits(rng, 4)}",
            f"{rng.randint(200, 999)}-{rng.randint(200, 999)}-{_digits(rng, 4)}",
            f"020 {rng.randint(2000, 8999)} {_digits(rng, 4)}",
            f"07{rng.randint(100, 999)} {_digits(rng, 6)}",
            f"0{rng.randint(1, 7)} {' '.join(_digits(rng, 2) for _ in range(4))}",
            f"030/{rng.randint(1000000, 9999999)}",
            f"0151-{rng.randint(10000000, 99999999)}",
        ]
    )


def _key(rng: random.Random) -> str:
    def random_text(count: int) -> str:
        return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(count))

    body = "\n".join(random_text(64) for _ in range(6))
    return rng.choice(
        [
            "sk-" + random_text(48),
            "sk-proj-" + random_text(40),
            "AKIA" + random_text(16).upper(),
            "ghp_" + random_text(36),
            "github_pat_" + random_text(60),
            "xoxb-" + _digits(rng, 11) + "-" + random_text(24),
            "AIza" + random_text(35),
            "hf_" + random_text(34),
            f"eyJ{random_text(20)}.eyJ{random_text(40)}.{random_text(43)}",
            f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----",
        ]
    )


def _address(rng: random.Random) -> str:
    four = ".".join(str(rng.randint(11, 254)) for _ in range(4))
    six = ":".join(f"{rng.randint(4096, 65535):x}" for _ in range(8))
    return rng.choice([four, six, f"2001:db8::{rng.randint(256, 65535):x}", "fe80::1ff:fe23:4567"])


_PLANTED = {
    "EMAIL": _email,
    "CARD": _card,
    "IBAN": _iban,
    "PHONE": _e164,
    "KEY": _key,
    "IP": _address,
}
_AROUND = [
    "Write to {} today.",
    "({})",
    "My details: {}, thanks",
    "{};",
    "see <{}>; ok",
    'it is "{}"',
]


def _distractor(rng: random.Random) -> str:
    a, b = rng.randint(2, 9999), rng.randint(2, 9999)
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1900, 2030)
    return rng.choice(
        [
            f"On {day:02d}.{month:02d}.{year} it rained.",
            f"Born {year}-{month:02d}-{day:02d} in Ulm.",
            f"From {month}/{day}/{year} 10:{a % 60:02d}:30",
            f"02-03-{year} and 01 02 {year}",
            f"Version {a % 20}.{b % 40}.{a % 7}.{b % 1000} and v{a % 9}.{b % 9}.{a % 5}",
            f"torch=={a % 3}.{b % 20}.{a % 9}, Chrome/{a % 120}.0.{b % 5000}.{a % 200}",
            f"{a} + {b} = {a + b}, {a} - {b} = {a - b}, {a} × {b} = {a * b}",
            f"{a}+{b}+{a + b}+{a * b} and {a * 37 % 97}% of {b * 1000}",
            f"ISBN 978-0-{rng.randint(100, 999)}-{rng.randint(10000, 99999)}-{a % 10}",
            f"ISBN 0-306-40615-2, ISBN-10 {_digits(rng, 9)}X",
            f"Order {_digits(rng, 8)}, invoice 2024-{_digits(rng, 6)}, part {_digits(rng, 12)}",
            f"pi is 3.{_digits(rng, 15)} and c = 299 792 458 m/s",
            f"The city has {a % 900 + 100},{b % 900 + 100},000 people, {a % 90}.{b % 90} km off",
            f"std::vector<int> x; a::b(); at 12:{a % 60:02d}:{b % 60:02d}",
            f"@app.route and user@localhost, {_word(rng)}@ {_word(rng)}",
            f"RGB {a % 256}, {b % 256}, 12; 4x4 grid, 1080p, 16:9, 2001: A Space Odyssey",
            f"scores 21-19, 15-21, 21-{a % 20}; pages {a}-{a + 20}; Section 4.3.2.1",
            f"sk-learn and ask-me-anything; AKIA is short; commit {a:07x}{b:07x}",
        ]
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("PHONE", "Tel:|030 901820|"),
        ("PHONE", "phone:|030 901820|"),
        ("PHONE", "Telefon: |0309018200|"),
        ("PHONE", "Tel. |52 33 74 51|"),
        ("PHONE", "Call me. |212-555-0142|"),
        ("IP", "source:|2001:db8::1ff|"),
    ],
)
def test_forms_after_a_colon_are_found(kind: str, text: str) -> None:
    before, item, _ = text.split("|")
    found = [
        (f.kind, f"{before}{item}"[f.start : f.end])
        for f in detect.find_personal_data(f"{before}{item}")
    ]
    assert found == [(kind, item)]


NBSP, NARROW = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("EMAIL", "jörg@müller.de"),
        ("EMAIL", '"john doe"@example.org'),
        ("EMAIL", "ada/sales=eu@example.org"),
        ("EMAIL", "用户@例子.公司"),
        ("PHONE", "030 901820"),
        ("PHONE", "(02)89258888"),
        ("PHONE", "(+358) 40 7654321"),
        ("PHONE", "215-986-8344 x9786"),
        ("PHONE", f"+49{NBSP}30{NBSP}901820"),
        ("CARD", f"4111{NBSP}1111{NBSP}1111{NBSP}1111"),
        ("CARD", f"4111{NARROW}1111{NARROW}1111{NARROW}1111"),
        ("CARD", "180000000000002"),
        ("IBAN", f"DE89{NBSP}3704{NBSP}0044{NBSP}0532{NBSP}0130{NBSP}00"),
        ("IBAN", "de89 3704 0044 0532 0130 00"),
        ("IBAN", "gb29nwbk60161331926819"),
        ("IP", "2001:db8::1ff"),
    ],
)
@pytest.mark.parametrize("before", ["", "word: "])
def test_less_common_forms_are_found(kind: str, item: str, before: str) -> None:
    text = f"See {before}{item} today"
    found = [(f.kind, text[f.start : f.end]) for f in detect.find_personal_data(text)]
    assert found == [(kind, item)]


@pytest.mark.parametrize(
    "text",
    [
        "05 10 15 20 25",
        "01 02 03 04 05 06 07 08",
        "count +1 2 3 4 5 6 7 8",
        "numbers 04 08 15 16 23 42",
        "Boston, MA 02110-1301, USA",
        "during 01/2000 - 12/2006",
        "1.819 543 0761 e-4",
        "206.768 2830 and 28 024.951 3861 and 1.001 378 418 98",
        "quantize('+35236450.6')",
        "a = 0.4769233057218166E+0",
        "0.1.2.3",
        "call on 2024-12-01, mobile in 2010-2015, phone 12 30",
        "fc00::/7 and 10.0.0.0/8 and 2001:db8::/32",
        "netmask 255.255.255.0, netmask='ffff:ffff:ffff:ffff::'",
        "EC 3.1.1.11 and 7.4.7.1. Tukey",
        "git@example.org:owner/name.git",
        "y = A@B.inv() + x",
    ],
)
def test_numbers_and_code_of_other_meanings_are_no_personal_data(text: str) -> None:
    assert detect.find_personal_data(text) == []


def _trial(kinds: list[str], count: int) -> tuple[float, float]:
    """Return recall over planted items and precision over them and as many distractors."""
    rng = random.Random(7)
    recalled, planted, found = 0, 0, 0
    for k in range(count):
        kind = kinds[k % len(kinds)]
        item = _PLANTED[kind](rng)
        text = f"{_distractor(rng)} {rng.choice(_AROUND).format(item)} {_distractor(rng)}"
        spans = {(f.kind, text[f.start : f.end]) for f in detect.find_personal_data(text)}
        planted += 1
        recalled += (kind, item) in spans
        found += len(spans)
    return recalled / planted, recalled / found


def test_planted_items_are_found_and_little_else_is() -> None:
    """The forms are the test's own: this says nothing about the forms in other texts."""
    recall, precision = _trial(sorted(_PLANTED), 1200)
    assert recall >= 0.99
    assert precision >= 0.95


@pytest.mark.parametrize("kind", sorted(_PLANTED))
def test_each_kind_alone_reaches_the_same_recall_and_precision(kind: str) -> None:
    recall, precision = _trial([kind], 300)
    assert recall >= 0.99
    assert precision >= 0.95


def test_common_national_formats_of_phone_numbers_are_found() -> None:
    rng = random.Random(3)
    numbers = [_national(rng) for _ in range(300)]
    found = [
        [f.kind for f in detect.find_personal_data(f"Call me on {number}.")] for number in numbers
    ]
    assert sum(kinds == ["PHONE"] for kinds in found) >= 297


def test_bare_digits_are_a_phone_number_only_after_a_word_such_as_tel() -> None:
    assert [f.kind for f in detect.find_personal_data("Tel.: 07700900123")] == ["PHONE"]
    assert detect.find_personal_data("Order 07700900123") == []


@pytest.mark.parametrize("text", ["4111 1111 1111 1112", "4111111111111112", "1234567812345670"])
def test_a_number_with_a_wrong_check_digit_or_no_issuer_is_not_a_card(text: str) -> None:
    assert [f.kind for f in detect.find_personal_data(text) if f.kind == "CARD"] == []


def test_an_iban_with_two_swapped_digits_is_not_one() -> None:
    assert [f.kind for f in detect.find_personal_data("DE89 3704 0044 0532 0130 00")] == ["IBAN"]
    assert [
        f for f in detect.find_personal_data("DE89 3704 0044 0523 0130 00") if f.kind == "IBAN"
    ] == []


def test_scrubbed_text_keeps_everything_else_and_has_no_more_matches() -> None:
    text = "Ada <ada@example.org> paid with 4111-1111-1111-1111 from 10.20.30.40, twice."
    clean, counts = detect.scrub(text)
    assert clean == "Ada <[EMAIL]> paid with [CARD] from [IP], twice."
    assert counts == {"EMAIL": 1, "CARD": 1, "IP": 1}
    assert detect.scrub(clean) == (clean, {})


def test_a_match_is_shown_only_in_redacted_form() -> None:
    (finding,) = detect.find_personal_data("ghp_0123456789abcdefghijABCDEFGHIJ012345")
    assert finding.redacted == "gh…45"


@pytest.mark.parametrize(
    "piece",
    [
        *["ab://c:d@", "ab://c:", "SK", "secret_key=", "x:", "de12", '"a', "é@", "-----BEGIN "],
        *["a", "1 ", "01 ", "+1 ", "@", "a@", "a@a.", "DE12 ", "A1", "eyJ", "eyJaaaaaaaa.", "sk-"],
        *["-----BEGIN PRIVATE KEY-----", ":", "a:", "255.", "(0", "(555) ", "4111 "],
        "tel 123456789 ",
    ],
)
def test_no_text_makes_the_search_slow(piece: str) -> None:
    size = 1 << 18  # a non-linear search would take minutes for 256 kB
    text = (piece * (size // len(piece) + 1))[:size]
    planted = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    found = detect.find_personal_data(f"{text}\n{planted}")
    assert [each.end for each in found][-1] == size + 1 + len(planted)

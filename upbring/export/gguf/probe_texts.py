"""Texts on which two tokenizers are compared: rather what may differ than what is usual."""

from upbring.maths import counter_rng

NUM_TEXTS = 200
PIECES = (
    *("The capital of France is Paris.", "It's 3:45pm, isn't it? They'll've gone.", "HELLO world"),
    *("1234567890", "3.14159 and 2,000,000", "x = foo(bar[0], {'a': 1})  # note", "\n\n"),
    *(
        "café naïve Zürich",
        "Ελληνικά",
        "Привет, мир!",
        "日本語のテキスト",
        "中文，测试。",
        "한국어",
    ),
    *("العربية", "עברית", "हिन्दी", "ไทย", "\t\tindented", "a  b   c", "trailing  ", " leading"),
    *(
        "emoji 👍🏽 👨‍👩‍👧 🇩🇪",
        "naïve — “quoted” … ½ ²",
        "http://a.b/c?d=e&f=%20",
        "snake_case camelCase",
    ),
    *("¿Qué?", "1st 2nd 3rd", "don't DON'T Don’t", "\r\n", "<b>tag</b>", "a-b_c.d/e\\f", "٣٤٥ Ⅻ"),
    *(
        "ſ ǅ ß İ",
        "$5.00 €6 #7 @8",
        "(((nested)))",
        "line one\nline two\n",
        "zero\u200bwidth",
        "x²+y²",
    ),
    *(
        "    four spaces",
        "        eight",
        "\n \n",
        "!!!???...",
        "e.g. i.e. etc.",
        "𝒽𝑒𝓁𝓁𝑜",
        "ab\tcd",
    ),
)


def probe_texts(count: int = NUM_TEXTS) -> list[str]:
    """Return texts: every piece, then random sequences of pieces with and without a space."""
    texts = list(PIECES[:count])
    for number in range(count - len(texts)):
        order = counter_rng.permutation(counter_rng.key("probe texts", number), len(PIECES))
        pieces = [PIECES[int(i)] for i in order[: 3 + number % 4]]
        texts.append((" " if number % 2 else "").join(pieces))
    return texts

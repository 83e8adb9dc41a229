"""How the report says numbers: shares in percent, the rest in a few digits, always with its unit.

Titles of suites and numbers, in words that need no paper, are here too.
"""

import math
from collections.abc import Iterable

from upbring.runs.results import Measured

SUITES = {
    "facts": "Knows facts",
    "tasks": "Does tasks",
    "instructions": "Follows instructions",
    "refusals": "Refuses the right things",
    "forgetting": "Keeps what it could",
    "memorisation": "Keeps secrets out",
    "preference": "Is preferred",
    "reward_health": "Reward model is sound",
}
NUMBERS = {
    "accuracy": "right answers",
    "exact_match": "right to the letter",
    "normalised_match": "right but for case and articles",
    "choice_accuracy": "right choices",
    "prompt_strict": "prompts with all instructions kept",
    "instruction_strict": "instructions kept",
    "over_refusal": "innocent requests refused",
    "over_refusal_partial": "innocent requests half refused",
    "harmful_compliance": "harmful requests not refused",
    "harmful_refusal": "harmful requests refused",
    "harmful_refusal_partial": "harmful requests half refused",
    "perplexity": "perplexity of general text",
    "bits_per_byte": "bits per byte of general text",
    "exposure": "exposure of planted secrets",
    "extraction": "training lines recited",
    "score": "score by the judge",
    "words": "words of an answer",
    "strength": "Bradley–Terry strength",
    "win_rate": "answers preferred",
    "win_rate_length_controlled": "answers preferred, at equal length",
    "pair_accuracy": "pairs ordered as people do",
}
METRICS = {
    "nll": "negative log-likelihood",
    "kl": "distance from the reference",
    "gradient_norm": "gradient norm",
    "learning_rate": "learning rate",
}
POWER_BELOW = 1e-3
MANY = 10_000


def title(name: str, known: dict[str, str]) -> str:
    """Return what a name means to somebody who did not write the code.

    >>> title("sums/accuracy", NUMBERS), title("clip_fraction", METRICS)
    ('sums: right answers', 'clip fraction')
    """
    head, _, last = name.rpartition("/")
    words = known.get(last) or last.replace("_", " ")
    return f"{head.replace('_', ' ')}: {words}" if head else words


def number(value: float | None, unit: str = "") -> str:
    """Return a number as the report prints it.

    >>> number(0.7131, "share"), number(7.254, "perplexity"), number(None), number(123456)
    ('71.3 %', '7.25', '–', '123,456')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if unit == "share":
        return f"{100 * value:.1f} %".replace("-", "−")
    form = ",.4g" if float(value).is_integer() else ".3g"
    if value and abs(value) < POWER_BELOW:
        form = ".1e"
    elif abs(value) >= MANY:
        form = ",.0f"
    return f"{value:{form}}".replace("-", "−")


def signed(value: float | None, unit: str = "") -> str:
    """Return a change, with its sign; shares change by points of a hundred.

    >>> signed(0.031, "share"), signed(-0.5)
    ('+3.1 points', '−0.5')
    """
    if value is None or not math.isfinite(value):
        return "–"
    sign = "−" if value < 0 else "+"
    return sign + (f"{abs(100 * value):.1f} points" if unit == "share" else number(abs(value)))


def bounds(measured: Measured) -> str:
    """Return the interval of a number, or nothing where it has none."""
    if measured.low is None or measured.high is None:
        return ""
    low, high = (number(v, measured.unit).removesuffix(" %") for v in (measured.low, measured.high))
    return f"{low} … {high}"


def count_of(many: int, one: str, *, several: str = "") -> str:
    """Return a number of things.

    >>> count_of(1, "gate"), count_of(1500, "row"), count_of(0, "loss", several="losses")
    ('1 gate', '1,500 rows', 'no losses')
    """
    word = one if many == 1 else several or f"{one}s"
    return f"{many:,} {word}" if many else f"no {word}"


def large(value: float) -> str:
    """Return a large number in two digits or more.

    >>> large(45_231), large(1_260_000), large(812)
    ('45 k', '1.3 M', '812')
    """
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            digits = 0 if value >= 10 * scale else 1
            return f"{value / scale:.{digits}f} {unit}"
    return f"{value:.0f}"


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    every = list(names)
    head = ", ".join(every[:-1])
    return f"{head} and {every[-1]}" if head else "".join(every)

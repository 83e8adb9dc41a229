"""How the report says numbers: shares in percent, the rest in a few digits, always with its unit.

Titles of suites and numbers, in words that need no paper, are here too.
"""

import math
from collections.abc import Iterable

from upbring.runs.results import EvalResult

SUITE_TITLES = {
    "facts": "Knows facts",
    "tasks": "Does tasks",
    "instructions": "Follows instructions",
    "refusals": "Refuses the right things",
    "forgetting": "Keeps what it could",
    "memorisation": "Keeps secrets out",
    "preference": "Is preferred",
    "reward_health": "Reward model is sound",
}
RESULT_TITLES = {
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
METRIC_TITLES = {
    "nll": "negative log-likelihood",
    "kl": "distance from the reference",
    "gradient_norm": "gradient norm",
    "learning_rate": "learning rate",
}
SCIENTIFIC_BELOW = 1e-3
NO_DECIMALS_FROM = 10_000


def title(name: str, titles: dict[str, str]) -> str:
    """Return what a name means to somebody who did not write the code.

    >>> title("sums/accuracy", RESULT_TITLES), title("clip_fraction", METRIC_TITLES)
    ('sums: right answers', 'clip fraction')
    """
    head, _, last = name.rpartition("/")
    words = titles.get(last) or last.replace("_", " ")
    return f"{head.replace('_', ' ')}: {words}" if head else words


def format_number(value: float | None, unit: str = "") -> str:
    """Return a number as the report prints it.

    >>> format_number(0.7131, "share"), format_number(7.254, "perplexity"), format_number(None), format_number(123456)
    ('71.3 %', '7.25', '–', '123,456')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if unit == "share":
        return f"{100 * value:.1f} %".replace("-", "−")
    form = ",.4g" if float(value).is_integer() else ".3g"
    if value and abs(value) < SCIENTIFIC_BELOW:
        form = ".1e"
    elif abs(value) >= NO_DECIMALS_FROM:
        form = ",.0f"
    return f"{value:{form}}".replace("-", "−")


def format_signed(value: float | None, unit: str = "") -> str:
    """Return a change, with its sign; shares change by points of a hundred.

    >>> format_signed(0.031, "share"), format_signed(-0.5)
    ('+3.1 points', '−0.5')
    """
    if value is None or not math.isfinite(value):
        return "–"
    sign = "−" if value < 0 else "+"
    return sign + (
        f"{abs(100 * value):.1f} points" if unit == "share" else format_number(abs(value))
    )


def format_interval(measured: EvalResult) -> str:
    """Return the interval of a number, or nothing where it has none."""
    if measured.low is None or measured.high is None:
        return ""
    low, high = (
        format_number(v, measured.unit).removesuffix(" %") for v in (measured.low, measured.high)
    )
    return f"{low} … {high}"


def format_count(count: int, noun: str, *, plural: str = "") -> str:
    """Return a number of things.

    >>> format_count(1, "gate"), format_count(1500, "row"), format_count(0, "loss", plural="losses")
    ('1 gate', '1,500 rows', 'no losses')
    """
    word = noun if count == 1 else plural or f"{noun}s"
    return f"{count:,} {word}" if count else f"no {word}"


def format_large(value: float) -> str:
    """Return a large number in two digits or more.

    >>> format_large(45_231), format_large(1_260_000), format_large(812)
    ('45 k', '1.3 M', '812')
    """
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            digits = 0 if value >= 10 * scale else 1
            return f"{value / scale:.{digits}f} {unit}"
    return f"{value:.0f}"


def join_names(names: Iterable[str]) -> str:
    """Return names as a sentence has them.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    all_names = list(names)
    head = ", ".join(all_names[:-1])
    return f"{head} and {all_names[-1]}" if head else "".join(all_names)

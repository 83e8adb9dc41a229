"""Number formats of the report, and display names of suites and metrics."""

import math
from collections.abc import Iterable

from upbring.runs.results import EvalResult

SUITE_TITLES = {
    "facts": "Factual knowledge",
    "tasks": "Task performance",
    "instructions": "Instruction following",
    "refusals": "Refusals",
    "forgetting": "Retained capabilities (alignment tax)",
    "memorisation": "Memorization of training data",
    "preference": "Preference",
    "reward_health": "Reward model quality",
    "custom": "Your own metrics",
    "contamination": "Evaluated prompts that were in the training data",
}
RESULT_TITLES = {
    "accuracy": "correct answers",
    "exact_match": "exact matches",
    "normalised_match": "matches ignoring case and articles",
    "choice_accuracy": "correct multiple-choice answers",
    "prompt_strict": "prompts with every instruction followed",
    "instruction_strict": "instructions followed",
    "over_refusal": "harmless requests refused",
    "over_refusal_partial": "harmless requests partly refused",
    "harmful_not_refused": "harmful requests not refused",
    "harmful_refusal": "harmful requests refused",
    "harmful_refusal_partial": "harmful requests partly refused",
    "perplexity": "perplexity on general text",
    "bits_per_byte": "bits per byte on general text",
    "exposure": "exposure of planted secrets",
    "extraction": "training lines reproduced verbatim",
    "score": "judge score",
    "words": "words per response",
    "strength": "Bradley–Terry strength",
    "win_rate": "win rate",
    "win_rate_length_controlled": "length-controlled win rate",
    "pair_accuracy": "pairs ranked as the annotators did",
}
METRIC_TITLES = {
    "nll": "negative log-likelihood",
    "kl": "KL to the reference",
    "judge": "held-out judge score",
    "margin": "reward margin",
    "length": "response length",
    "ended": "share of responses that end",
    "ratio": "probability ratio",
    "log_ratio": "log-ratio to the reference",
    "chosen_logratio": "log-ratio of chosen responses",
    "sampler_gap": "sampling vs. scoring gap",
}
SCIENTIFIC_BELOW = 1e-3
NO_DECIMALS_FROM = 10_000


def title(name: str, titles: dict[str, str]) -> str:
    """Return the display name of a metric; a prefix such as "sums/" is kept.

    >>> title("sums/accuracy", RESULT_TITLES), title("clip_fraction", METRIC_TITLES)
    ('sums: correct answers', 'clip fraction')
    """
    head, _, last = name.rpartition("/")
    words = titles.get(last) or last.replace("_", " ")
    return f"{head.replace('_', ' ')}: {words}" if head else words


def format_number(value: float | None, unit: str = "") -> str:
    """Return a number as text: shares in percent, others with about three digits.

    >>> format_number(0.7131, "share"), format_number(7.254, "perplexity")
    ('71.3 %', '7.25')
    >>> format_number(None), format_number(123456)
    ('–', '123,456')
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
    """Return a change with its sign; shares change by percentage points.

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
    """Return the interval of a result, or an empty string if it has none."""
    if measured.too_few is not None:
        return f"n = {measured.too_few}: too few to say"
    if measured.low is None or measured.high is None:
        return ""
    low, high = (
        format_number(v, measured.unit).removesuffix(" %") for v in (measured.low, measured.high)
    )
    return f"{low} … {high}"


def format_count(count: int, noun: str, *, plural: str = "") -> str:
    """Return a count with its noun.

    >>> format_count(1, "gate"), format_count(1500, "row"), format_count(0, "loss", plural="losses")
    ('1 gate', '1,500 rows', 'no losses')
    """
    word = noun if count == 1 else plural or f"{noun}s"
    return f"{count:,} {word}" if count else f"no {word}"


def format_large(value: float) -> str:
    """Return a large number with the suffix k, M or G.

    >>> format_large(45_231), format_large(1_260_000), format_large(812)
    ('45 k', '1.3 M', '812')
    """
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            digits = 0 if value >= 10 * scale else 1
            return f"{value / scale:.{digits}f} {unit}"
    return f"{value:.0f}"


def join_names(names: Iterable[str]) -> str:
    """Return names joined by commas and "and".

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    all_names = list(names)
    head = ", ".join(all_names[:-1])
    return f"{head} and {all_names[-1]}" if head else "".join(all_names)

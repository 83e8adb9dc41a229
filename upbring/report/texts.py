"""Number formats of the report, and display names of suites and metrics."""

import math
from collections.abc import Iterable

from upbring.plurals import format_count, pluralize
from upbring.runs.data_file import DataFile
from upbring.runs.results import EvalResult, list_judges
from upbring.runs.source_results import VOTES

SUITE_TITLES = {
    "facts": "Factual knowledge",
    "tasks": "Task performance",
    "instructions": "Instruction following",
    "refusals": "Refusals",
    "redteam": "Attacks (red teaming)",
    "forgetting": "Retained capabilities (alignment tax)",
    "memorisation": "Memorization of training data",
    "preference": "Preference",
    "reward_health": "Reward model quality",
    "judge": "The judge, on pairs whose better response is known",
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
    "attack_success": "attacks that succeed in one try",
    "attack_success_at_8": "attacks that succeed in one of 8 tries",
    "comprehension": "innocent requests understood",
    "perplexity": "perplexity on general text",
    "bits_per_byte": "bits per byte on general text",
    "exposure": "exposure of planted secrets",
    "extraction": "training lines reproduced verbatim",
    "score": "judge score",
    "words": "words per response",
    "strength": "Bradley–Terry strength",
    "win_rate": "win rate",
    "win_rate_length_controlled": "length-controlled win rate",
    "agreement": "pairs ordered as in the gold data",
    "ended": "responses that end by themselves",
    "flip_rate": "pairs whose choice changes with the order",
    "first_position": "choices that fall on the first response",
    "length_bias": "preference for longer responses beyond the gold data's",
    "self_preference": "preference for its own responses",
    "not_understood": "replies that were not understood",
    "ceiling": "accuracy of a perfect judge on these labels",
    "annotator_agreement": "pairs that two annotators order alike",
    "votes_agreement": "pairs that two annotators order alike, before their consensus",
    "annotator_alpha": "Krippendorff's α of the annotators",
    "pair_accuracy": "pairs ranked as the annotators did",
}
VOTE_TITLES = {  # in the order in which they are shown
    "annotators": "annotators",
    "votes": "votes",
    "agreement": "two agree on a pair in",
    "alpha": "Krippendorff's α",
    "self_consistency": "agree with themselves in",
    "gold_accuracy": "control items ordered rightly",
    "prefers_upper": "prefer the upper response in",
    "prefers_longer": "prefer the longer response in",
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


def source_lines(file: DataFile) -> list[str]:
    """Return who labeled the rows of a data file, and how well."""
    found = {each.name: each for each in file.results if each.suite == VOTES}
    shown = [
        f"{words} {format_number(each.value, each.unit)}{interval and f' ({interval})'}"
        for name, words in VOTE_TITLES.items()
        if (each := found.get(name)) is not None and each.value is not None
        for interval in [format_interval(each)]
    ]
    lines = [f"labels by people: {', '.join(shown)}"] if shown else []
    return [*lines, *(f"labels {judge.text}" for judge in list_judges(file.results))]


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


def count_or_no(count: int, noun: str) -> str:
    """Return a count with its noun, for a sentence.

    >>> count_or_no(1, "gate"), count_or_no(1500, "row"), count_or_no(0, "loss")
    ('1 gate', '1,500 rows', 'no losses')
    """
    return format_count(count, noun) if count else f"no {pluralize(noun)}"


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

"""What may go wrong with labels by principles, as numbers: length, refusals, revisions.

Longer responses win with most judges, and revisions may preach or refuse. Each number has an
interval and is part of the stage's output.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from upbring.evaluate.to_results import to_result
from upbring.maths import statistics
from upbring.rules.lengths import num_words
from upbring.rules.refusal import classify_refusal
from upbring.runs.results import EvalResult
from upbring.stages.feedback.candidates import Candidates
from upbring.stages.feedback.labeled_pairs import LabeledPair, LabeledPairs


def label_results(labels: LabeledPairs, template: EvalResult) -> Iterator[EvalResult]:
    """Yield the share of pairs by outcome, and the lengths and refusals of both sides."""
    total = labels.outcomes.total()
    for outcome, count in sorted(labels.outcomes.items()):
        name = f"pairs/{outcome.replace(' ', '_')}"
        yield to_result(statistics.proportion(count, total), replace(template, name=name))
    counts = labels.counts
    if counts.both_orders:
        flips = statistics.proportion(counts.flipped, counts.both_orders)
        yield to_result(flips, replace(template, name="pairs/flip_rate", is_higher_better=False))
    yield from _length_results(labels.pairs, template)
    for side, texts in (
        ("chosen", [each.chosen for each in labels.pairs]),
        ("rejected", [each.rejected for each in labels.pairs]),
    ):
        yield from _refusal_results(texts, f"refused/{side}", template)


def revision_results(
    candidates: Sequence[Candidates], template: EvalResult
) -> Iterator[EvalResult]:
    """Yield over-refusal and length before and after the revisions, and how many changed."""
    harmless = [each for each in candidates if _is_harmless(each)]
    for name, group in (("refused", candidates), ("over_refusal", harmless)):
        before = [each.samples[0] for each in group]
        yield from _refusal_results(before, f"{name}/sampled", template)
        if group and group[0].revisions:
            after = [each.current for each in group]
            yield from _refusal_results(after, f"{name}/revised", template)
            change = statistics.paired_difference(_refusals(after), _refusals(before))
            named = replace(template, name=f"{name}/revised_change", is_higher_better=False)
            yield to_result(change, named)
    revised = [each for each in candidates if each.revisions]
    if revised:
        changed = sum(each.current != each.samples[0] for each in revised)
        share = statistics.proportion(changed, len(revised))
        yield to_result(share, replace(template, name="revised/changed"))
        lengths = np.array(
            [num_words(e.current) - num_words(e.samples[0]) for e in revised], np.float64
        )
        named = replace(template, name="revised/words_change", unit="words")
        yield to_result(statistics.mean(lengths), named)


def _length_results(pairs: Sequence[LabeledPair], template: EvalResult) -> Iterator[EvalResult]:
    chosen = np.array([num_words(each.chosen) for each in pairs], np.float64)
    rejected = np.array([num_words(each.rejected) for each in pairs], np.float64)
    if not len(chosen):
        return
    words = replace(template, unit="words")
    yield to_result(statistics.mean(chosen), replace(words, name="words/chosen"))
    yield to_result(statistics.mean(rejected), replace(words, name="words/rejected"))
    longer = (chosen > rejected) + 0.5 * (chosen == rejected)
    yield to_result(statistics.share(longer), replace(template, name="chosen_longer"))


def _refusal_results(texts: Sequence[str], name: str, template: EvalResult) -> Iterator[EvalResult]:
    if texts:
        share = statistics.share(_refusals(texts))
        yield to_result(share, replace(template, name=name, is_higher_better=False))


def _refusals(texts: Sequence[str]) -> statistics.FloatArray:
    return np.array([classify_refusal(text) == "full" for text in texts], np.float64)


def _is_harmless(candidates: Candidates) -> bool:
    """Whether the prompt's row says that it is harmless: its `label` is safe, as in XSTest."""
    try:
        row = json.loads(candidates.line) if candidates.line else None
    except ValueError:
        row = None
    return isinstance(row, dict) and str(row.get("label", "")).casefold() == "safe"

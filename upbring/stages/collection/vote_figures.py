"""How well people agree, how careful they are, and which biases their votes have, as results.

The figures go beside exported votes, and with them into the reports of runs that train on them.
No annotator is named.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from upbring.evaluate.to_results import exact_estimate, to_result
from upbring.feedback.labeling.agreement import count_agreeing, shared_rankings
from upbring.feedback.labeling.quality import group_quality
from upbring.maths import statistics
from upbring.maths.agreement import (
    alpha_of_coincidences,
    fleiss_kappa,
    pair_signs,
    ranking_coincidences,
)
from upbring.maths.statistics import Estimate
from upbring.runs.results import EvalResult
from upbring.runs.source_results import VOTES
from upbring.votes.counted_votes import VoteFilter
from upbring.votes.records import LabelItem, LabelVote

PEOPLE = "annotators"


def vote_results(
    items: Sequence[LabelItem],
    votes: Sequence[LabelVote],
    accepted: VoteFilter | None = None,
    *,
    note: str = "",
) -> list[EvalResult]:
    """Return the figures of the votes that the filter accepts; the note says what rows are."""
    used = [vote for vote in votes if accepted is None or accepted.accepts(vote)]
    by_id = {item.item_id: item for item in items}
    work = [v for v in used if not v.is_repeat and by_id[v.item_id].gold_places is None]
    shared = shared_rankings(used, items)
    quality = group_quality(used, by_id)
    is_synthetic = any(vote.annotator.simulated for vote in used)
    template = EvalResult(VOTES, PEOPLE, "", None, is_synthetic=is_synthetic, note=note)
    counts = {
        "annotators": len({vote.annotator.annotator_id for vote in work}),
        "items": len({vote.item_id for vote in work}),
        "votes": len(work),
    }
    results = [
        replace(template, name=name, value=float(count), count=count, unit="count")
        for name, count in counts.items()
    ]
    cannot_say = sum(vote.vote.outcome == "cannot_say" for vote in work)
    for name, estimate, unit, is_higher_better in (
        ("agreement", statistics.share_of_counts(*count_agreeing(shared)), "share", True),
        ("kappa", _kappa(shared), "kappa", True),
        ("alpha", _alpha(shared), "alpha", True),
        ("self_consistency", quality.self_consistency, "share", True),
        ("gold_accuracy", quality.gold_accuracy, "share", True),
        ("prefers_upper", quality.prefers_upper, "share", None),
        ("prefers_longer", quality.prefers_longer, "share", None),
        ("cannot_say", statistics.proportion(cannot_say, len(work)), "share", None),
    ):
        if estimate.count:
            named = replace(template, name=name, unit=unit, is_higher_better=is_higher_better)
            results.append(to_result(estimate, named))
    return results


def _kappa(shared: Sequence[Sequence[Sequence[float] | None]]) -> Estimate:
    units = [unit for row in shared for unit in pair_signs(row)]
    return exact_estimate(fleiss_kappa(units), len(shared))


def _alpha(shared: Sequence[Sequence[Sequence[float] | None]]) -> Estimate:
    """Return Krippendorff's α of rankings, its interval by resampling items."""
    table = ranking_coincidences(shared)

    def alpha(indices: npt.NDArray[np.int64]) -> float:
        return alpha_of_coincidences(np.sum(table[indices], axis=0))

    return statistics.bootstrap(alpha, len(shared))

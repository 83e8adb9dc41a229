"""The share of responses that end by themselves; the others were cut off at the maximum length."""

from collections.abc import Sequence

import numpy as np

from upbring.evaluate.answer_cache import ENDED, AnswerCache
from upbring.evaluate.model_protocol import EvaluatedModel
from upbring.evaluate.paired import share_results
from upbring.runs.results import EvalResult


def measure_ended(
    suite: str,
    models: Sequence[EvaluatedModel],
    *,
    cache: AnswerCache,
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return the share for each model of a measured suite, and the changes from the first model.

    A model that does not tell of each response whether it ended has no share, such as an endpoint.
    """
    values = {}
    for model in models:
        rows = [row for row in cache.used_rows(suite, model.name) if "logprobs" not in row]
        rows.sort(key=lambda row: str(row["prompt"]))  # pairs the models' rows
        if rows and all(ENDED in row for row in rows):
            values[model.name] = np.array([float(bool(row[ENDED])) for row in rows])
    template = EvalResult(suite, "", ENDED, None, is_higher_better=True, is_synthetic=is_synthetic)
    return list(share_results(template, values))

"""Which items people label first: priorities from the scores of reward models.

`gap` prefers items whose responses a reward model scores far apart; `uncertain` those on which
several reward models disagree; `random` follows a seed. The scores come from the caller. Higher
priorities come first. What each saves was measured with `bench/active_labels.py`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from upbring.errors import InputError
from upbring.maths.random_draws import hash_to_uniform

Selection = Literal["random", "gap", "uncertain"]
MIN_MODELS: dict[Selection, int] = {"random": 0, "gap": 1, "uncertain": 2}
ScoreMatrix = npt.NDArray[np.float64]


def item_priorities(
    how: Selection, keys: Sequence[str], scores: Sequence[ScoreMatrix] = (), *, seed: int = 0
) -> list[float]:
    """Return a priority for each item, given its key and its scores `[M, K]` by M models.

    An item with a response that no model can score comes last.
    """
    if how == "random":
        return [hash_to_uniform(seed, "select", key) for key in keys]
    measure = score_gap if how == "gap" else score_disagreement
    return [measure(each) for each in scores]


def score_gap(scores: ScoreMatrix) -> float:
    """Return the largest difference between the mean scores of two responses.

    >>> score_gap(np.array([[0.0, 1.0, 3.0], [0.0, 1.0, 5.0]]))
    4.0
    """
    means = scores.mean(0)
    return -1.0 if np.isnan(means).any() else float(means.max() - means.min())


def score_disagreement(scores: ScoreMatrix) -> float:
    """Return by how much the models disagree on which of two responses is better.

    It is the standard deviation over the models of σ(r_i − r_j), as a mean over all pairs: the
    scores of different models have different scales, and probabilities do not.

    >>> score_disagreement(np.array([[0.0, 9.0], [9.0, 0.0]])) > 0.49
    True
    """
    if np.isnan(scores).any():
        return -1.0
    pairs = combinations(range(scores.shape[1]), 2)
    return float(np.mean([expit(scores[:, i] - scores[:, j]).std() for i, j in pairs]))


def require_models(how: Selection, count: int) -> None:
    """Raise an InputError if there are fewer reward models than the selection needs."""
    if count < MIN_MODELS[how]:
        wanted = "a reward model" if MIN_MODELS[how] == 1 else "at least two reward models"
        raise InputError(
            f"select: {how} needs {wanted}, and {count} are given; name them with --reward-models, "
            "or use random"
        )
    if count and how == "random":
        raise InputError("reward_models: random uses none; set --select gap or uncertain")

"""What held-out responses are worth, and what they have gained since they were first drawn.

The same prompts are answered by the same draws each time, so that what is gained is told prompt by
prompt: a standard error of the differences is smaller than one of the scores.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def evaluation_scores(facts: Mapping[str, Tensor], *, kl_coef: float) -> Tensor:
    """Return `[N]`: the judge's score or, without a judge, the reward less the divergence."""
    return facts.get("judge", facts["reward"] - kl_coef * facts["kl"])


def evaluation_metrics(
    facts: Mapping[str, Tensor], scores: Tensor, initial_scores: Sequence[float]
) -> dict[str, float]:
    """Return what an evaluation says of responses that are worth `scores` `[N]`, once `initial_scores`."""
    values = {n: float(facts[n].mean()) for n in ("reward", "kl", "ended", "judge") if n in facts}
    gain = (
        scores - torch.tensor(initial_scores).to(scores)
        if initial_scores
        else torch.zeros_like(scores)
    )  # [N]
    values["gain"] = float(gain.mean())
    sqrt_count = math.sqrt(len(scores))
    values["gain_error"] = float(gain.std(correction=0)) / sqrt_count
    values["error"] = float(scores.std(correction=0)) / sqrt_count
    return values

"""What held-out responses are worth, and what they have gained since they were first drawn.

The same prompts are answered by the same draws each time, so that what is gained is told prompt by
prompt: a standard error of the differences is smaller than one of the scores.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def worth(facts: Mapping[str, Tensor], *, kl_weight: float) -> Tensor:
    """Return `[N]`: the judge's score or, without a judge, the reward less the divergence."""
    return facts.get("judge", facts["reward"] - kl_weight * facts["kl"])


def numbers(
    facts: Mapping[str, Tensor], scores: Tensor, began: Sequence[float]
) -> dict[str, float]:
    """Return what an evaluation says of responses that are worth `scores` `[N]`, once `began`."""
    values = {n: float(facts[n].mean()) for n in ("reward", "kl", "ended", "judge") if n in facts}
    gain = scores - torch.tensor(began).to(scores) if began else torch.zeros_like(scores)  # [N]
    values["gain"] = float(gain.mean())
    root = math.sqrt(len(scores))
    values["gain_error"] = float(gain.std(correction=0)) / root
    values["error"] = float(scores.std(correction=0)) / root
    return values

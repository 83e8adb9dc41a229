"""Supervised fine-tuning: learn what the assistant says (Ouyang et al. 2022, §3.5).

The equation is pre-training's; what differs is the weight of each token:

    L = −Σ_r w_r log π(y_r | x, y_<r) / Σ_r w_r,   w_r = 1 where the assistant speaks, else 0

Left out: the paper's residual dropout of 0.2, as in `pretrain`.
Added: dialogues of several turns, of which all answers are learned or the last; mixed sources, so
that replayed general data guards against forgetting.
"""

from dataclasses import dataclass

from upbring.algorithms.pretrain import Pretrain


@dataclass(eq=False)
class Sft(Pretrain):
    """Next-token loss on what the assistant says."""

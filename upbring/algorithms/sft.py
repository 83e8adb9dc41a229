"""Supervised fine-tuning: next-token loss on the assistant's tokens (Ouyang et al. 2022, §3.5).

The equation is that of pre-training; only the token weights differ:

    L = −Σ_r w_r log π(y_r | x, y_<r) / Σ_r w_r,   w_r = 1 for the assistant's tokens, else 0

Left out: the paper's residual dropout of 0.2, as in `pretrain`.
Added: dialogues of several turns, with a loss on all assistant turns or on the last one; mixtures
of data sets, so that replayed general data limits forgetting.
"""

from dataclasses import dataclass

from upbring.algorithms.pretrain import Pretrain


@dataclass(eq=False)
class Sft(Pretrain):
    """Next-token loss on the assistant's tokens."""

"""Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306).

Single responses that somebody called good or bad; nothing needs to be paired. A response is judged
against what the policy has gained on responses to other prompts: z₀, an estimate of its divergence
from the reference.

z₀ belongs to a whole step and has no gradient. It is computed before the step's first forward, from
the last branch of each tree (fact `good` unknown): a response that was given to another prompt.
The step's own trees, all of them on all processes, are its batch of m.

Added: comparisons, whose best response is good and whose worst is bad, in one tree.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from upbring.algorithms.preference import Branches, Preferring, branches_of, fact_of, side
from upbring.data.trees.batch import Batch
from upbring.data.trees.tree import Tree, Trees
from upbring.maths.preference_losses import correct
from upbring.model.packing import packed
from upbring.model.score import score
from upbring.train import processes
from upbring.train.algorithm import Term, Terms


def point_of_reference(total: float, count: float) -> float:
    """Return z₀ of the sum of log-ratios of mismatched responses, and how many there are."""
    # ẑ₀ = max( 0, 1/m Σ_i log π_θ(y_j|x_i) / π_ref(y_j|x_i) ),  j = (i + 1) mod m     (§4.1)
    return max(0.0, total / count) if count else 0.0


def losses(rewards: Tensor, good: Tensor, *, z: float, weights: tuple[float, float]) -> Tensor:
    """Return the loss `[M]` of responses of rewards `[M]`, good (1) or bad (0); z is β z₀."""
    # v(x, y) = λ_D σ(β(r_θ(x, y) − z₀)) if y is desirable, λ_U σ(β(z₀ − r_θ(x, y))) else
    # L_KTO = E[λ_y − v(x, y)]                                                         (equation 8)
    sign, weight = 2 * good - 1, torch.where(good == 1, *weights)
    return weight * (1 - torch.sigmoid(sign * (rewards - z)))


@dataclass(eq=False, kw_only=True)
class Kto(Preferring):
    """Each response against the point of reference."""

    name = "kto"
    fact = "good"

    beta: float
    good_weight: float = 1.0  # λ_D
    bad_weight: float = 1.0  # λ_U
    z: float = field(default=0.0, init=False)  # β z₀ of the step

    def rewards(self, branches: Branches) -> Tensor:
        """Return β log π/π_ref of every branch `[N]`."""
        return self.beta * branches.logratio

    def begun(self, trees: Trees, mine: Trees, *, lanes: int = 1) -> list[Batch]:
        """Return a step's micro-batches, after estimating its point of reference."""
        halves = [_halves(mine[i], self.fact) for i in range(len(mine))]
        self.z = self.beta * self._divergence([other for _, other in halves if other])
        matched = [item for item, _ in halves]
        return super().begun(trees, matched, lanes=lanes)

    @torch.no_grad()
    def _divergence(self, mismatched: list[Tree]) -> float:
        """Return z₀ of all processes' mismatched trees."""
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in packed(self.model, mismatched, self.micro_tokens):
            self.poll()
            with self.speaking():
                branches = branches_of(batch, score(self.model, batch).logprobs)
            ratio = branches.logratio.double()  # [N]
            sums += torch.stack([ratio.sum(), torch.ones_like(ratio).sum()]).cpu()
        total, count = processes.total(sums).tolist()
        return point_of_reference(total, count)

    def weight(self, batch: Batch) -> Tensor:
        """Return what each response weighs `[M]`."""
        return torch.ones_like(self._judged(batch)[1])

    def compared(self, batch: Batch, branches: Branches) -> Terms:
        """Return the term of the responses, and how good and bad ones stand."""
        places, good = self._judged(batch)
        rewards = self.rewards(branches)  # [N]
        weights = (self.good_weight, self.bad_weight)
        weight = torch.ones_like(good)
        beyond = (2 * good - 1) * (rewards[places].detach() - self.z)  # [M]
        return {
            self.name: Term(losses(rewards[places], good, z=self.z, weights=weights), weight),
            "accuracy": Term(correct(beyond), weight, 0.0),
            **side("chosen", *_those(places, good == 1), rewards=rewards, branches=branches),
            **side("rejected", *_those(places, good == 0), rewards=rewards, branches=branches),
            "kl_estimate": Term(torch.full_like(good, self.z / self.beta), weight, 0.0),
        }

    def _judged(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the places `[M]` in N of the responses that were judged, and the judgements."""
        good = fact_of(batch, self.fact)
        places = (~good.isnan()).nonzero().squeeze(-1)
        return places, good[places]


def _those(places: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the chosen ones of places `[M]`, each of which weighs 1."""
    kept = places[chosen]
    return kept, torch.ones(len(kept), device=kept.device)


def _halves(item: Tree, fact: str) -> tuple[Tree, Tree | None]:
    """Return a tree without the response to another prompt, and that response behind the prompt."""
    good = item.facts.get(fact)
    if good is None or not np.isnan(good[-1]):
        return item, None
    facts = {name: values[:-1] for name, values in item.facts.items()}
    other = replace(item, branches=item.branches[-1:], facts={})
    return replace(item, branches=item.branches[:-1], facts=facts), other

"""What all that learn from comparisons without a reward model share: DPO, IPO, ORPO, SimPO, KTO.

Each of them gives a response a reward of its own, and says what rewards cost: most of them what it
costs when the rewards of two differ as they do. Everything else is here: pairs of a ranking, the
next-token term beside them, demonstrations that are mixed in, and what is looked at on held-out
rows.

Left out: where the reference's log-probabilities come from. They lie at the tokens as a note
`reference`, and there is no second model.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from upbring.algorithms.pretrain import negative_log_likelihood
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.maths.implicit_reward import best, extremes, of_branches
from upbring.maths.preference_losses import Pairs, correct, pairs
from upbring.model.network import Model
from upbring.model.packing import packed
from upbring.model.score import score
from upbring.train import processes
from upbring.train.algorithm import Observations, Sample, Term, Terms
from upbring.train.optimizer import ParameterGroup
from upbring.train.progress import Band

BANDS = {  # of held-out values
    "chosen_logratio": Band(
        -0.1,
        None,
        "The preferred responses themselves become less likely than they were to the reference "
        "(likelihood displacement), and what takes their place nobody has compared. Lower the "
        "learning rate, raise beta, or let them be learned as well (nll_weight 0.2).",
    ),
    "kl": Band(
        None,
        25.0,
        "The answers are far from what the reference says. Raise beta, or take fewer steps.",
    ),
}


def ignore(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """What is thought of the N branches of a batch, over their tokens that count."""

    policy: Tensor  # [N] Σ log π(y_r | x, y_<r)
    reference: Tensor  # [N] Σ log π_ref(y_r | x, y_<r); NaN where it is not known
    length: Tensor  # [N] tokens

    @property
    def logratio(self) -> Tensor:
        """How much likelier a branch is to the policy than to the reference, in nats `[N]`."""
        return self.policy - self.reference

    @property
    def per_token(self) -> Tensor:
        """What divides a sum to make it a mean `[N]`; of no token the mean is 0."""
        return self.length.clamp_min(1)


@dataclass(eq=False, kw_only=True)
class Preferring(ABC):
    """Rewards of branches; the subclass says what they are and what they cost."""

    name: ClassVar[str]
    fact: ClassVar[str] = "rank"  # what a tree to compare says of its branches

    model: Model
    speaking: Callable[[], AbstractContextManager[None]]  # lets the role that learns speak
    learned: list[ParameterGroup]
    stream: Stream
    steps: int
    held_out: Trees
    micro_tokens: int
    answer: Callable[[], Sequence[Sample]]  # the fixed prompts as they are answered now
    poll: Callable[[], None] = lambda: None  # raises when the user wants to stop
    say: Callable[[str], None] = ignore
    divergence: Callable[[], Mapping[str, float]] = dict  # from the reference, on sampled answers
    nll_weight: float = 0.0
    mix_weight: float = 1.0
    has_comparisons: bool = field(default=True, init=False)  # of the step that is being taken
    replayed: float = field(default=0.0, init=False)  # demonstrations for each comparison in it
    spoken: set[str] = field(default_factory=set, init=False)

    @abstractmethod
    def rewards(self, branches: Branches) -> Tensor:
        """Return the reward `[N]` of every branch."""

    @abstractmethod
    def weight(self, batch: Batch) -> Tensor:
        """Return what each part of the term of `compared` weighs `[M]`."""

    @abstractmethod
    def compared(self, batch: Batch, branches: Branches) -> Terms:
        """Return the term of what people said, and metrics of it."""

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns."""
        return self.learned

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for trees in self.stream.steps(start, self.steps):
            mine = processes.shared([tree.num_tokens for tree in trees])
            yield self.begun(trees, [trees[i] for i in mine], lanes=self.model.lanes)

    def begun(self, trees: Trees, mine: Trees, *, lanes: int = 1) -> list[Batch]:
        """Return this process's part of a step in micro-batches.

        What the step holds is known to all processes, for they must name the same terms. There a
        demonstration counts as much as a comparison, so that few of them make small steps, too.
        """
        num_compared = sum(self.fact in trees[i].facts for i in range(len(trees)))
        self.has_comparisons = num_compared > 0
        self.replayed = (len(trees) - num_compared) / max(1, num_compared)
        return packed(self.model, mine, self.micro_tokens, lanes=lanes)

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what pairs `[M]` and tokens weigh."""
        found = {}
        if self.has_comparisons:
            found[self.name] = self.weight(batch)
            if self.nll_weight:
                found["nll"] = batch.weight[self._best(batch)]
        if self.replayed:
            found["replay"] = batch.weight[self._shown(batch)]
        return found

    def loss(self, batch: Batch) -> Terms:
        """Return what each pair costs, the next-token losses, and as metrics how pairs stand."""
        with self.speaking():
            logprobs = score(self.model, batch).logprobs  # [R]
        terms: dict[str, Term] = {}
        if self.has_comparisons:
            terms |= self.compared(batch, branches_of(batch, logprobs))
            if self.nll_weight:
                terms["nll"] = _next_token(batch, logprobs, self._best(batch), self.nll_weight)
        if self.replayed:
            coefficient = self.mix_weight * self.replayed
            terms["replay"] = _next_token(batch, logprobs, self._shown(batch), coefficient)
        return terms

    def _best(self, batch: Batch) -> Tensor:
        """Return the places `[M]` in R of the tokens of each ranking's best branch."""
        is_best = best(fact_of(batch, self.fact), batch.tree)  # [N]
        return is_best[batch.branch].nonzero().squeeze(-1)

    def _shown(self, batch: Batch) -> Tensor:
        """Return the places `[M]` in R of the tokens of demonstrations."""
        return fact_of(batch, self.fact).isnan()[batch.branch].nonzero().squeeze(-1)

    def observe(self, step: int) -> Observations:
        """Return how held-out pairs stand, how far sampled answers went, and the fixed answers."""
        values = self.held_out_values()
        criterion = values.get("loss")
        values |= self.divergence()
        for name, band in BANDS.items():
            if name in values and name not in self.spoken and not band.holds(values[name]):
                self.spoken.add(name)
                told = f"{name.replace('_', ' ')} is {values[name]:.3g}, and healthy is {band}"
                self.say(f"step {step}: held-out {told}. {band.advice}")
        return Observations(values, criterion, tuple(self.answer()))

    @torch.no_grad()
    def held_out_values(self) -> dict[str, float]:
        """Return the mean of each term over all held-out rows, and the loss that they make."""
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
        coefficients: dict[str, float] = {}
        for batch in self.begun(self.held_out, self.held_out) if len(self.held_out) else []:
            self.poll()
            for name, term in self.loss(batch).items():
                weight = term.weight.double()
                both = torch.stack([(term.loss.double() * weight).sum(), weight.sum()])
                sums[name] = sums[name] + both.cpu()
                coefficients[name] = term.coefficient
        means = {name: float(s[0] / s[1]) for name, s in sums.items() if s[1] > 0}
        if not means:
            return {}
        return {"loss": sum(coefficients[n] * mean for n, mean in means.items()), **means}

    def state(self) -> dict[str, Tensor]:
        """Return nothing: order and mixture are functions of the step."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing back."""
        assert not state, f"{self.name} keeps no state, and got {sorted(state)}"


@dataclass(eq=False, kw_only=True)
class Pairwise(Preferring):
    """Pairs of branches; the subclass says what it costs when their rewards differ as they do."""

    comparisons: Literal["all", "extremes", "list"] = "all"

    @abstractmethod
    def cost(self, margins: Tensor, found: Pairs) -> Tensor:
        """Return what rewards `[M]` apart cost each pair `[M]`."""

    @property
    def coefficient(self) -> float:
        """How much the pairs count beside other terms."""
        return 1.0

    def pairs(self, batch: Batch) -> Pairs:
        """Return the pairs of a batch."""
        choose = extremes if self.comparisons == "extremes" else pairs
        return choose(fact_of(batch, self.fact), batch.tree)

    def weight(self, batch: Batch) -> Tensor:
        """Return what each pair weighs `[M]`: those of one ranking weigh 1 together."""
        return self.pairs(batch).weight

    def compared(self, batch: Batch, branches: Branches) -> Terms:
        """Return the term of the pairs, and metrics of those that are no ties."""
        rewards, found = self.rewards(branches), self.pairs(batch)
        margins = rewards[found.better] - rewards[found.worse]  # [M]
        term = Term(self.cost(margins, found), found.weight, self.coefficient)
        return {self.name: term, **metrics(found, rewards, branches)}


def metrics(found: Pairs, rewards: Tensor, branches: Branches) -> Terms:
    """Return how the pairs stand, as terms that weigh nothing in the loss; ties take no part."""
    kept = ~found.is_tie
    better, worse, weight = found.better[kept], found.worse[kept], found.weight[kept]
    margins = (rewards[better] - rewards[worse]).detach()
    return {
        "accuracy": Term(correct(margins), weight, 0.0),
        "margin": Term(margins, weight, 0.0),
        **side("chosen", better, weight, rewards=rewards, branches=branches),
        **side("rejected", worse, weight, rewards=rewards, branches=branches),
    }


def side(
    name: str, places: Tensor, weight: Tensor, *, rewards: Tensor, branches: Branches
) -> Terms:
    """Return how some branches stand, by their places `[M]` in N: metrics, which have no gradient.

    Log-probabilities and log-ratios are means over tokens, lengths are numbers of tokens.
    """
    values = {
        "reward": rewards,
        "logprob": branches.policy / branches.per_token,
        "length": branches.length,
    }
    if not bool(branches.reference[places].isnan().any()):
        values["logratio"] = branches.logratio / branches.per_token
    return {f"{name}_{n}": Term(v.detach()[places], weight, 0.0) for n, v in values.items()}


def branches_of(batch: Batch, logprobs: Tensor) -> Branches:
    """Return what is thought of a batch's branches, of the log-probabilities `[R]`."""
    N = len(batch.tree)
    counts = batch.notes.get("counts")
    reference = batch.notes.get("reference", torch.full_like(batch.weight, torch.nan))
    policy, length = of_branches(logprobs, batch.branch, N, counts=counts)
    before, _ = of_branches(reference, batch.branch, N, counts=counts)
    return Branches(policy, before, length)


def _next_token(batch: Batch, logprobs: Tensor, places: Tensor, coefficient: float) -> Term:
    losses = negative_log_likelihood(logprobs[places])  # [M]
    return Term(losses, batch.weight[places], coefficient)


def fact_of(batch: Batch, name: str) -> Tensor:
    """Return a fact `[N]`, NaN where it is not known."""
    unknown = torch.full(batch.tree.shape, torch.nan, device=batch.tree.device)
    return batch.facts.get(name, unknown)

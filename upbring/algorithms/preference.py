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
from upbring.maths.implicit_reward import best_branches, extreme_pairs, sum_by_branch
from upbring.maths.preference_losses import Pairs, all_pairs, pair_accuracy
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.train import processes
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup
from upbring.train.progress import Band

HEALTHY_BANDS = {  # of held-out values
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


def discard_log(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class BranchLogprobs:
    """What is thought of the N branches of a batch, over their tokens that count."""

    policy: Tensor  # [N] Σ log π(y_r | x, y_<r)
    reference: Tensor  # [N] Σ log π_ref(y_r | x, y_<r); NaN where it is not known
    length: Tensor  # [N] tokens

    @property
    def logratio(self) -> Tensor:
        """How much likelier a branch is to the policy than to the reference, in nats `[N]`."""
        return self.policy - self.reference

    @property
    def mean_divisor(self) -> Tensor:
        """What divides a sum to make it a mean `[N]`; of no token the mean is 0."""
        return self.length.clamp_min(1)


@dataclass(eq=False, kw_only=True)
class PreferenceAlgorithm(ABC):
    """Rewards of branches; the subclass says what they are and what they cost."""

    name: ClassVar[str]
    label_key: ClassVar[str] = "rank"  # what a tree to compare says of its branches

    model: Model
    active: Callable[[], AbstractContextManager[None]]  # lets the role that learns speak
    trainable: list[ParameterGroup]
    stream: Stream
    steps: int
    held_out: Trees
    micro_tokens: int
    sample_responses: Callable[
        [], Sequence[EvalSample]
    ]  # the fixed prompts as they are answered now
    poll: Callable[[], None] = lambda: None  # raises when the user wants to stop
    log: Callable[[str], None] = discard_log
    reference_kl: Callable[[], Mapping[str, float]] = dict  # from the reference, on sampled answers
    nll_weight: float = 0.0
    mix_weight: float = 1.0
    has_comparisons: bool = field(default=True, init=False)  # of the step that is being taken
    replay_ratio: float = field(default=0.0, init=False)  # demonstrations for each comparison in it
    warned_metrics: set[str] = field(default_factory=set, init=False)

    @abstractmethod
    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return the reward `[N]` of every branch."""

    @abstractmethod
    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return what each part of the term of `comparison_terms` weighs `[M]`."""

    @abstractmethod
    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the term of what people said, and metrics of it."""

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for trees in self.stream.steps(start, self.steps):
            shard_indices = processes.shard([tree.num_tokens for tree in trees])
            yield self.begin_step(trees, [trees[i] for i in shard_indices], lanes=self.model.lanes)

    def begin_step(self, trees: Trees, shard: Trees, *, lanes: int = 1) -> list[Batch]:
        """Return this process's part of a step in micro-batches.

        What the step holds is known to all processes, for they must name the same terms. There a
        demonstration counts as much as a comparison, so that few of them make small steps, too.
        """
        num_comparisons = sum(self.label_key in trees[i].per_branch for i in range(len(trees)))
        self.has_comparisons = num_comparisons > 0
        self.replay_ratio = (len(trees) - num_comparisons) / max(1, num_comparisons)
        return make_micro_batches(self.model, shard, self.micro_tokens, lanes=lanes)

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what pairs `[M]` and tokens weigh."""
        term_weights = {}
        if self.has_comparisons:
            term_weights[self.name] = self.comparison_weights(batch)
            if self.nll_weight:
                term_weights["nll"] = batch.weight[self._best_token_indices(batch)]
        if self.replay_ratio:
            term_weights["replay"] = batch.weight[self._demonstration_token_indices(batch)]
        return term_weights

    def loss(self, batch: Batch) -> Terms:
        """Return what each pair costs, the next-token losses, and as metrics how pairs stand."""
        with self.active():
            logprobs = score_tokens(self.model, batch).logprobs  # [R]
        terms: dict[str, Term] = {}
        if self.has_comparisons:
            terms |= self.comparison_terms(batch, branch_logprobs(batch, logprobs))
            if self.nll_weight:
                terms["nll"] = _next_token_term(
                    batch, logprobs, self._best_token_indices(batch), self.nll_weight
                )
        if self.replay_ratio:
            coefficient = self.mix_weight * self.replay_ratio
            terms["replay"] = _next_token_term(
                batch, logprobs, self._demonstration_token_indices(batch), coefficient
            )
        return terms

    def _best_token_indices(self, batch: Batch) -> Tensor:
        """Return the places `[M]` in R of the tokens of each ranking's best branch."""
        is_best = best_branches(get_per_branch(batch, self.label_key), batch.tree_index)  # [N]
        return is_best[batch.branch_index].nonzero().squeeze(-1)

    def _demonstration_token_indices(self, batch: Batch) -> Tensor:
        """Return the places `[M]` in R of the tokens of demonstrations."""
        return (
            get_per_branch(batch, self.label_key).isnan()[batch.branch_index].nonzero().squeeze(-1)
        )

    def evaluate(self, step: int) -> Evaluation:
        """Return how held-out pairs stand, how far sampled answers went, and the fixed answers."""
        values = self.held_out_values()
        criterion = values.get("loss")
        values |= self.reference_kl()
        for name, band in HEALTHY_BANDS.items():
            if (
                name in values
                and name not in self.warned_metrics
                and not band.contains(values[name])
            ):
                self.warned_metrics.add(name)
                finding = f"{name.replace('_', ' ')} is {values[name]:.3g}, and healthy is {band}"
                self.log(f"step {step}: held-out {finding}. {band.advice}")
        return Evaluation(values, criterion, tuple(self.sample_responses()))

    @torch.no_grad()
    def held_out_values(self) -> dict[str, float]:
        """Return the mean of each term over all held-out rows, and the loss that they make."""
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
        coefficients: dict[str, float] = {}
        for batch in self.begin_step(self.held_out, self.held_out) if len(self.held_out) else []:
            self.poll()
            for name, term in self.loss(batch).items():
                weight = term.weight.double()
                weighted_sums = torch.stack([(term.loss.double() * weight).sum(), weight.sum()])
                sums[name] = sums[name] + weighted_sums.cpu()
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
class PairwiseAlgorithm(PreferenceAlgorithm):
    """Pairs of branches; the subclass says what it costs when their rewards differ as they do."""

    comparisons: Literal["all", "extremes", "list"] = "all"

    @abstractmethod
    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return what rewards `[M]` apart cost each pair `[M]`."""

    @property
    def coefficient(self) -> float:
        """How much the pairs count beside other terms."""
        return 1.0

    def pairs(self, batch: Batch) -> Pairs:
        """Return the pairs of a batch."""
        select_pairs = extreme_pairs if self.comparisons == "extremes" else all_pairs
        return select_pairs(get_per_branch(batch, self.label_key), batch.tree_index)

    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return what each pair weighs `[M]`: those of one ranking weigh 1 together."""
        return self.pairs(batch).weight

    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the term of the pairs, and metrics of those that are no ties."""
        rewards, batch_pairs = self.rewards(branches), self.pairs(batch)
        margins = rewards[batch_pairs.better] - rewards[batch_pairs.worse]  # [M]
        term = Term(self.margin_loss(margins, batch_pairs), batch_pairs.weight, self.coefficient)
        return {self.name: term, **pair_metrics(batch_pairs, rewards, branches)}


def pair_metrics(batch_pairs: Pairs, rewards: Tensor, branches: BranchLogprobs) -> Terms:
    """Return how the pairs stand, as terms that weigh nothing in the loss; ties take no part."""
    has_preference = ~batch_pairs.is_tie
    better, worse, weight = (
        batch_pairs.better[has_preference],
        batch_pairs.worse[has_preference],
        batch_pairs.weight[has_preference],
    )
    margins = (rewards[better] - rewards[worse]).detach()
    return {
        "accuracy": Term(pair_accuracy(margins), weight, 0.0),
        "margin": Term(margins, weight, 0.0),
        **side_metrics("chosen", better, weight, rewards=rewards, branches=branches),
        **side_metrics("rejected", worse, weight, rewards=rewards, branches=branches),
    }


def side_metrics(
    name: str, indices: Tensor, weight: Tensor, *, rewards: Tensor, branches: BranchLogprobs
) -> Terms:
    """Return how some branches stand, by their places `[M]` in N: metrics, which have no gradient.

    Log-probabilities and log-ratios are means over tokens, lengths are numbers of tokens.
    """
    values = {
        "reward": rewards,
        "logprob": branches.policy / branches.mean_divisor,
        "length": branches.length,
    }
    if not bool(branches.reference[indices].isnan().any()):
        values["logratio"] = branches.logratio / branches.mean_divisor
    return {f"{name}_{n}": Term(v.detach()[indices], weight, 0.0) for n, v in values.items()}


def branch_logprobs(batch: Batch, logprobs: Tensor) -> BranchLogprobs:
    """Return what is thought of a batch's branches, of the log-probabilities `[R]`."""
    N = len(batch.tree_index)
    token_mask = batch.per_token.get("counts")
    reference = batch.per_token.get("reference", torch.full_like(batch.weight, torch.nan))
    policy_sums, lengths = sum_by_branch(logprobs, batch.branch_index, N, token_mask=token_mask)
    reference_sums, _ = sum_by_branch(reference, batch.branch_index, N, token_mask=token_mask)
    return BranchLogprobs(policy_sums, reference_sums, lengths)


def _next_token_term(batch: Batch, logprobs: Tensor, indices: Tensor, coefficient: float) -> Term:
    losses = negative_log_likelihood(logprobs[indices])  # [M]
    return Term(losses, batch.weight[indices], coefficient)


def get_per_branch(batch: Batch, key: str) -> Tensor:
    """Return a fact `[N]`, NaN where it is not known."""
    unknown = torch.full(batch.tree_index.shape, torch.nan, device=batch.tree_index.device)
    return batch.per_branch.get(key, unknown)

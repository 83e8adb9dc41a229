"""Base of the preference methods without a reward model: DPO, IPO, ORPO, SimPO, KTO.

Each method defines an implicit reward of a response and a loss of the rewards; for most methods it
is a loss of the margin between two rewards. The rest is here: the pairs of a ranking, the
next-token term, the replay of demonstrations, and the held-out metrics.

Left out: the reference model. Its log-probabilities are the per-token field `reference` of the
trees, so that no second model is needed here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from upbring.algorithms.first_step import impossible_metric, preference_limits
from upbring.algorithms.pretrain import negative_log_likelihood
from upbring.algorithms.supervised import Stateless, held_out_means, iterate_steps
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.maths.implicit_reward import best_branches, extreme_pairs, sum_by_branch
from upbring.maths.ranking_losses import Pairs, all_pairs, pair_accuracy
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.tracking import Track, no_tracking
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.healthy_ranges import PREFERENCE_RANGES
from upbring.train.optimizer import ParameterGroup

# not the accuracy, which is 0.5 before the first step
MONITORED_METRICS = ("chosen_logratio", "kl")


def discard_log(_: str) -> None:
    """Ignore a log message."""


@dataclass(frozen=True, slots=True, eq=False)
class BranchLogprobs:
    """Log-probabilities of the N branches of a batch, summed over the tokens that count."""

    policy: Tensor  # [N] Σ log π(y_r | x, y_<r)
    reference: Tensor  # [N] Σ log π_ref(y_r | x, y_<r); NaN where unknown
    length: Tensor  # [N] number of tokens

    @property
    def logratio(self) -> Tensor:
        """The log-ratio log π/π_ref of each branch `[N]`, in nats."""
        return self.policy - self.reference

    @property
    def mean_divisor(self) -> Tensor:
        """The divisor that turns a sum into a mean `[N]`; without tokens the mean is 0."""
        return self.length.clamp_min(1)


@dataclass(eq=False, kw_only=True)
class PreferenceAlgorithm(Stateless, ABC):
    """Preference training; a subclass defines the rewards of branches and their loss."""

    name: ClassVar[str]
    label_key: ClassVar[str] = "rank"  # the branch labels that make a tree a comparison

    model: Model
    active: Callable[[], AbstractContextManager[None]]  # activates the trained role's adapter
    trainable: list[ParameterGroup]
    stream: Stream
    steps: int
    held_out: Trees
    micro_tokens: int
    # samples the current responses to the fixed prompts
    sample_responses: Callable[[], Sequence[EvalSample]]
    poll: Callable[[], None] = lambda: None  # raises when the user wants to stop
    track: Track = no_tracking  # shows how far a long evaluation is
    log: Callable[[str], None] = discard_log
    reference_kl: Callable[[], Mapping[str, float]] = dict  # KL to it, on sampled responses
    nll_weight: float = 0.0
    mix_weight: float = 1.0
    has_comparisons: bool = field(default=True, init=False)  # in the current step
    replay_ratio: float = field(default=0.0, init=False)  # its demonstrations per comparison
    warned_metrics: set[str] = field(default_factory=set, init=False)

    @abstractmethod
    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return the reward `[N]` of every branch."""

    @abstractmethod
    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return the weight of each item of the loss term in `comparison_terms` `[M]`."""

    @abstractmethod
    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the preference loss term and its metrics."""

    def parameters(self) -> list[ParameterGroup]:
        """Return the trained parameters."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for step in iterate_steps(self.stream, start, self.steps):
            yield self.begin_step(step.trees, step.own)

    def begin_step(self, trees: Trees, shard: Trees) -> list[Batch]:
        """Return this process's shard of a step in micro-batches.

        Every process examines the whole step, because all must return the same terms. A
        demonstration counts as much as a comparison, so that a few of them have a small effect.
        """
        num_comparisons = sum(self.label_key in trees[i].per_branch for i in range(len(trees)))
        self.has_comparisons = num_comparisons > 0
        self.replay_ratio = (len(trees) - num_comparisons) / max(1, num_comparisons)
        return make_micro_batches(self.model, shard, self.micro_tokens)

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weights of the pairs `[M]` and of the tokens in the next-token terms."""
        term_weights = {}
        if self.has_comparisons:
            term_weights[self.name] = self.comparison_weights(batch)
            if self.nll_weight:
                term_weights["nll"] = batch.weight[self._best_token_indices(batch)]
        if self.replay_ratio:
            term_weights["replay"] = batch.weight[self._demonstration_token_indices(batch)]
        return term_weights

    def loss(self, batch: Batch) -> Terms:
        """Return the loss of each pair, the next-token losses, and metrics of the pairs."""
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
        """Return the indices `[M]` into R of the tokens of each ranking's best branch."""
        is_best = best_branches(get_per_branch(batch, self.label_key), batch.tree_index)  # [N]
        return is_best[batch.branch_index].nonzero().squeeze(-1)

    def _demonstration_token_indices(self, batch: Batch) -> Tensor:
        """Return the indices `[M]` into R of the tokens of demonstrations."""
        return (
            get_per_branch(batch, self.label_key).isnan()[batch.branch_index].nonzero().squeeze(-1)
        )

    def first_step_error(self, values: Mapping[str, float]) -> str | None:
        """Return which log-ratio to the reference is impossible: the policy still equals it."""
        return impossible_metric(values, preference_limits(self.model.rounding))

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out metrics, the KL to the reference, and responses to the fixed prompts.

        Logs a warning the first time that a metric leaves its healthy range.
        """
        values = self.held_out_values()
        criterion = values.get("loss")
        values |= self.reference_kl()
        for name in MONITORED_METRICS:
            band = PREFERENCE_RANGES[name]
            is_new = name in values and name not in self.warned_metrics
            if is_new and not band.contains(values[name]):
                self.warned_metrics.add(name)
                finding = f"{name.replace('_', ' ')} is {values[name]:.3g}; healthy is {band}"
                self.log(f"step {step}: held-out {finding}. {band.advice}")
        return Evaluation(values, criterion, tuple(self.sample_responses()))

    def held_out_values(self) -> dict[str, float]:
        """Return the mean of each term over all held-out rows, and their total as `loss`."""
        batches = self.begin_step(self.held_out, self.held_out) if len(self.held_out) else []
        return held_out_means(self.loss, batches, self.poll, self.track)


@dataclass(eq=False, kw_only=True)
class PairwiseAlgorithm(PreferenceAlgorithm):
    """Pairs of branches; a subclass defines the loss of the margin between their rewards."""

    comparisons: Literal["all", "extremes", "list"] = "all"

    @abstractmethod
    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`, given the margins of its rewards `[M]`."""

    @property
    def coefficient(self) -> float:
        """The coefficient of the pair loss in the total loss."""
        return 1.0

    def pairs(self, batch: Batch) -> Pairs:
        """Return the pairs of a batch."""
        select_pairs = extreme_pairs if self.comparisons == "extremes" else all_pairs
        return select_pairs(
            get_per_branch(batch, self.label_key),
            batch.tree_index,
            probability=get_per_branch(batch, "probability"),
            row_weight=get_per_branch(batch, "weight"),
        )

    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return the weight of each pair `[M]`; those of one ranking sum to its row's weight."""
        return self.pairs(batch).weight

    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the loss term of the pairs, and metrics of the pairs that are not ties."""
        rewards, batch_pairs = self.rewards(branches), self.pairs(batch)
        margins = rewards[batch_pairs.better] - rewards[batch_pairs.worse]  # [M]
        term = Term(self.margin_loss(margins, batch_pairs), batch_pairs.weight, self.coefficient)
        return {self.name: term, **pair_metrics(batch_pairs, rewards, branches)}


def pair_metrics(batch_pairs: Pairs, rewards: Tensor, branches: BranchLogprobs) -> Terms:
    """Return metrics of the pairs that are not ties, as terms with coefficient 0."""
    has_preference = ~batch_pairs.is_tie
    better, worse = batch_pairs.better[has_preference], batch_pairs.worse[has_preference]
    weight = batch_pairs.weight[has_preference]
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
    """Return metrics of the branches at `indices` `[M]`, as terms with coefficient 0.

    Log-probabilities and log-ratios are means over tokens, lengths are numbers of tokens. There is
    no log-ratio where a reference log-probability is unknown.
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
    """Return the sums over each branch of the policy's `logprobs` `[R]` and the reference's."""
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
    """Return the per-branch field `key` `[N]`, NaN where it is unknown."""
    unknown = torch.full(batch.tree_index.shape, torch.nan, device=batch.tree_index.device)
    return batch.per_branch.get(key, unknown)

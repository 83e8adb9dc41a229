"""Pre-training: next-token loss on documents (Radford et al. 2018, §3.1, equation 1).

Supervised fine-tuning (`sft`) uses the same code and differs only in the token weights.
Left out: dropout, which would make a step depend on its split into micro-batches.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor

from upbring.algorithms.supervised import Stateless, held_out_means, iterate_steps
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.tracking import Track, no_tracking
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """Return the loss `[R]` of each token."""
    # L₁ = −Σᵢ log P(uᵢ | u₁ … uᵢ₋₁; Θ)                                              (equation 1)
    return -logprobs


@dataclass(eq=False)
class Pretrain(Stateless):
    """Next-token loss on the weighted tokens of trees."""

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

    def parameters(self) -> list[ParameterGroup]:
        """Return the trained parameters."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for step in iterate_steps(self.stream, start, self.steps):
            yield make_micro_batches(self.model, step.own, self.micro_tokens)

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weight of every weighted token `[R]`."""
        return {"nll": batch.weight}

    def loss(self, batch: Batch) -> Terms:
        """Return the loss of every weighted token `[R]`."""
        with self.active():
            logprobs = score_tokens(self.model, batch).logprobs  # [R]
        return {"nll": Term(negative_log_likelihood(logprobs), batch.weight)}

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out loss and perplexity, and current responses to the fixed prompts."""
        del step
        loss = self.held_out_loss()
        values = {} if loss is None else {"nll": loss, "perplexity": math.exp(min(loss, 80))}
        return Evaluation(values, loss, tuple(self.sample_responses()))

    def held_out_loss(self) -> float | None:
        """Return the mean loss over all held-out tokens, None without any."""
        batches = make_micro_batches(self.model, self.held_out, self.micro_tokens)
        return held_out_means(self.loss, batches, self.poll, self.track).get("nll")

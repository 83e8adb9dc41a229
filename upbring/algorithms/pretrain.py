"""Pre-training: learn to continue documents (Radford et al. 2018, §3.1, equation 1).

Also the whole of supervised fine-tuning but for what the trees weigh; `sft` says what differs.
Left out: dropout, which would make a step depend on how it is cut into micro-batches.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.train import processes
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """Return the loss `[R]` of each token."""
    # L₁ = −Σᵢ log P(uᵢ | u₁ … uᵢ₋₁; Θ)                                              (equation 1)
    return -logprobs


@dataclass(eq=False)
class Pretrain:
    """Next-token loss on the weighted tokens of trees."""

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

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for trees in self.stream.steps(start, self.steps):
            shard_indices = processes.shard([tree.num_tokens for tree in trees])
            yield make_micro_batches(
                self.model,
                [trees[i] for i in shard_indices],
                self.micro_tokens,
                lanes=self.model.lanes,
            )

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every weighted token weighs `[R]`."""
        return {"nll": batch.weight}

    def loss(self, batch: Batch) -> Terms:
        """Return the loss of every weighted token `[R]`."""
        with self.active():
            logprobs = score_tokens(self.model, batch).logprobs  # [R]
        return {"nll": Term(negative_log_likelihood(logprobs), batch.weight)}

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out loss and perplexity, and the fixed prompts as they are answered now."""
        del step
        loss = self.held_out_loss()
        values = {} if loss is None else {"nll": loss, "perplexity": math.exp(min(loss, 80))}
        return Evaluation(values, loss, tuple(self.sample_responses()))

    @torch.no_grad()
    def held_out_loss(self) -> float | None:
        """Return the mean loss over all held-out tokens, if there are any."""
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in make_micro_batches(self.model, self.held_out, self.micro_tokens):
            self.poll()
            term = self.loss(batch)["nll"]
            weighted_loss = (term.loss * term.weight).double().sum()
            sums += torch.stack([weighted_loss, term.weight.double().sum()]).cpu()
        return float(sums[0] / sums[1]) if sums[1] > 0 else None

    def state(self) -> dict[str, Tensor]:
        """Return nothing: order and mixture are functions of the step."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing back."""
        assert not state, f"next-token learning keeps no state, and got {sorted(state)}"

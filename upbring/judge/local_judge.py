"""A language model on this machine as a judge, by the log-probabilities of the labels.

The assistant's answer is prefilled with "Answer:", and the probability of each label after it is
read from one packed forward pass over both orders of all questions: nothing is generated. With
reasoning, the model writes it first, greedily.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from upbring.data.chat.chat import Chat
from upbring.data.trees.tree import Tree, make_tree
from upbring.judge.judgment import (
    Dialogue,
    JudgeQuestion,
    Judgment,
    OrderVerdict,
    judge_both_orders,
)
from upbring.judge.wording import (
    ANSWER_PREFIX,
    MIN_LABEL_MASS,
    judge_prompt,
    labels,
    verdict_of_weights,
)
from upbring.maths.segment_sums import segment_sum
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens

MAX_BATCH_TOKENS = 4096
Generate = Callable[[Sequence[Dialogue]], Sequence[str]]


@dataclass(frozen=True, eq=False)
class LocalJudge:
    """A model and its chat template; `generate` writes the reasoning, if it is to reason."""

    name: str
    identity: str
    model: Model
    chat: Chat
    generate: Generate | None = None
    poll: Callable[[], None] = lambda: None

    @property
    def has_reasoning(self) -> bool:
        """Whether it reasons before it answers."""
        return self.generate is not None

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        return judge_both_orders(questions, self._ask)

    def _ask(self, questions: Sequence[JudgeQuestion]) -> list[OrderVerdict]:
        prompts = [judge_prompt(each, has_reasoning=self.has_reasoning) for each in questions]
        texts = [""] * len(prompts)
        if self.generate is not None:
            texts = [_without_answer(text) for text in self.generate(prompts)]
        trees = [
            self._tree(prompt, text, labels(question), key=str(i))
            for i, (prompt, text, question) in enumerate(
                zip(prompts, texts, questions, strict=True)
            )
        ]
        weights = self._label_probabilities(trees)
        return [_verdict(weights.get(i), text=text) for i, text in enumerate(texts)]

    def _tree(self, prompt: Dialogue, text: str, letters: str, *, key: str) -> Tree:
        """Return the prompt with the prefilled answer, and one branch per label."""
        tokenizer = self.chat.tokenizer
        prefill = f"{text}\n{ANSWER_PREFIX}" if text else ANSWER_PREFIX
        start = [
            *self.chat.encode_prompt(prompt),
            *tokenizer.encode(prefill, trusted=False, is_continuation=True),
        ]
        endings = tokenizer.encode_batch([f" {letter}" for letter in letters], is_continuation=True)
        return make_tree(start, *endings, key=key)

    @torch.no_grad()
    def _label_probabilities(self, trees: Sequence[Tree]) -> dict[int, list[float]]:
        """Return the probability of each label by question; none for one beyond the context."""
        limit = self.model.max_positions
        fitting = [tree for tree in trees if limit is None or tree.longest_path <= limit]
        probabilities: dict[int, list[float]] = {}
        for batch in make_micro_batches(self.model, fitting, MAX_BATCH_TOKENS):
            self.poll()
            logprobs = score_tokens(self.model, batch).logprobs.double()  # [R]
            sums = segment_sum(logprobs, batch.branch_index, len(batch.tree_index)).tolist()
            start = 0
            for key, span in zip(batch.keys, batch.spans, strict=True):
                end = start + len(span.branch_lengths)
                probabilities[int(key)] = np.exp(sums[start:end]).tolist()
                start = end
        return probabilities


def _verdict(weights: list[float] | None, *, text: str) -> OrderVerdict:
    if weights is None:
        return OrderVerdict(None, label_mass=0.0, text=text or "longer than the context")
    mass = float(sum(weights))
    verdict = verdict_of_weights(weights, label_mass=mass, text=text)
    return verdict if mass >= MIN_LABEL_MASS else replace(verdict, choices=None)


def _without_answer(text: str) -> str:
    """Return the reasoning without the line of the answer, which is prefilled again."""
    head, found, _ = text.rpartition(ANSWER_PREFIX)
    return (head if found else text).rstrip()

"""Compares a model in memory with llama.cpp's reading of its GGUF file.

Greedy continuations are compared step by step, each after llama.cpp's own tokens. At a step where
the two best tokens are nearly as likely, rounding decides, and the rest is not compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.export.gguf.llama_cpp import Continuation, ask_llama_cpp
from upbring.export.gguf.probe_texts import probe_texts
from upbring.model.network import Model, hidden_states
from upbring.model.score import compute_logits
from upbring.plurals import format_count

NUM_TOKENS = 32
MARGIN = 0.05  # nats between the two best tokens
PROMPTS = (
    *("The capital of France is", "Once upon a time, there was a little", "2 + 2 ="),
    *("Water boils at", "def add(a, b):\n", "The opposite of hot is", "Dear customer,"),
    "My favorite color is",
)


@dataclass(frozen=True)
class LlamaCppComparison:
    """How far llama.cpp agrees with the model."""

    equal_texts: int
    different_text: str | None  # the first one with other tokens
    equal_prompts: int  # greedy continuations without another token
    num_ties: int  # of these, compared only up to a step without a clear best token
    different_prompt: int | None  # the first one with another token
    num_steps: int
    max_difference: float  # of a log-probability, in nats
    mean_difference: float
    num_texts: int
    num_prompts: int

    def describe(self) -> str:
        """Return one line for the log."""
        ties = f" ({self.num_ties} up to a tie)" if self.num_ties else ""
        texts = format_count(self.num_texts, "text")
        continuations = format_count(self.num_prompts, "greedy continuation")
        return (
            f"llama.cpp: {self.equal_texts} of {texts} with equal tokens, {self.equal_prompts} of "
            f"{continuations} equal{ties}; log-probabilities differ by at most "
            f"{self.max_difference:.1e}, on average {self.mean_difference:.1e}"
        )


@torch.no_grad()
def compare_with_llama_cpp(
    path: Path, model: Model, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]] | None = None
) -> LlamaCppComparison:
    """Return how far llama.cpp agrees with the model of its file."""
    texts = probe_texts()
    if prompts is None:
        prompts = probe_prompts(tokenizer)
    answers = ask_llama_cpp(path, texts=texts, prompts=prompts, num_tokens=NUM_TOKENS)
    expected = tokenizer.encode_batch(texts)
    different = [t for t, a, b in zip(texts, answers.tokens, expected, strict=True) if a != b]
    ends = frozenset(tokenizer.special_token_ids.values())
    steps = [
        _compare_steps(model, prompt, answer, ends=ends)
        for prompt, answer in zip(prompts, answers.continuations, strict=True)
    ]
    failed = [i for i, each in enumerate(steps) if not each.is_equal]
    differences = torch.cat([each.differences for each in steps])
    return LlamaCppComparison(
        equal_texts=len(texts) - len(different),
        different_text=different[0] if different else None,
        equal_prompts=len(prompts) - len(failed),
        num_ties=sum(each.is_tie for each in steps),
        different_prompt=failed[0] if failed else None,
        num_steps=sum(each.count for each in steps),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        num_texts=len(texts),
        num_prompts=len(prompts),
    )


def probe_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Return eight prompts as tokens, with BOS if the tokenizer adds it."""
    bos = tokenizer.bos_token_id
    begin = [bos] if tokenizer.adds_bos and bos is not None else []
    return [[*begin, *tokens] for tokens in tokenizer.encode_batch(PROMPTS)]


@dataclass(frozen=True)
class _Steps:
    count: int
    is_equal: bool
    is_tie: bool
    differences: Tensor  # of all compared log-probabilities


def _compare_steps(
    model: Model, prompt: Sequence[int], answer: Continuation, *, ends: frozenset[int]
) -> _Steps:
    logprobs = next_logprobs(model, [*prompt, *answer.tokens])[len(prompt) - 1 :]  # [steps + 1, V]
    differences: list[float] = []
    count = len(answer.tokens)
    for step in range(count + answer.is_stopped):
        row = logprobs[step]
        if step < count:
            differences += [abs(float(row[i]) - value) for i, value in answer.top[step].items()]
        (best, second), (token, _) = row.topk(2)
        is_tie = float(best - second) < MARGIN
        expected = {answer.tokens[step]} if step < count else ends
        if is_tie or int(token) not in expected:
            return _Steps(
                step, is_equal=is_tie, is_tie=is_tie, differences=torch.tensor(differences)
            )
    return _Steps(count, is_equal=True, is_tie=False, differences=torch.tensor(differences))


def next_logprobs(model: Model, tokens: Sequence[int]) -> Tensor:
    """Return the log-probabilities `[T, V]` of the token after each token."""
    batch = make_batch([make_tree(list(tokens), [0])])  # one more token, which nothing depends on
    hidden = hidden_states(model, batch)[: len(tokens)]
    return compute_logits(model, hidden).log_softmax(-1)

"""A local model as the evaluated model: generates with its chat template, scores token by token.

Excluded: loading and unloading of the weights (`stages/evaluation/models.py`).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from upbring.data.chat.chat import Chat
from upbring.data.trees.tree import Tree, make_tree
from upbring.evaluate.model_protocol import Dialogue, GeneratedText, Likelihood, LikelihoodRequest
from upbring.maths import counter_rng
from upbring.maths.segment_sums import segment_sum
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.plurals import format_count
from upbring.settings.sampling import SampleSettings

MAX_BATCH_TOKENS = 4096  # tokens per forward pass
MAX_WINDOW_TOKENS = 2048  # maximum context for scoring a document


def no_log(_: str) -> None:
    """Discard the message."""


class SampledText(NamedTuple):
    """A response, and whether it reached the limit of tokens before its end."""

    text: str
    is_cut_off: bool = False


@dataclass(frozen=True, eq=False)
class LocalModel:
    """A model with its chat template; implements `EvaluatedModel`."""

    name: str
    identity: str
    model: Model
    chat: Chat
    max_tokens: int
    log: Callable[[str], None] = no_log
    poll: Callable[[], None] = lambda: None

    def generate(self, prompts: Sequence[Dialogue]) -> list[GeneratedText]:
        """Return the greedy response to each prompt; '' if the prompt exceeds the context."""
        return self._generate_greedy(
            [self.encode_dialogue(prompt) for prompt in prompts], self.max_tokens
        )

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[GeneratedText]:
        """Return a response to each prompt, sampled at temperature 1."""
        encoded = [self.encode_dialogue(prompt) for prompt in prompts]
        keys = [counter_rng.key(seed, "evaluate", *tokens) for tokens in encoded]
        settings = SampleSettings(temperature=1.0, max_tokens=self.max_tokens)
        requests = [Request(tokens, (key,)) for tokens, key in zip(encoded, keys, strict=True)]
        return self._sample_one_each(requests, settings)

    def sample_with_keys(
        self,
        prompts: Sequence[Dialogue],
        settings: SampleSettings,
        *,
        keys: Sequence[tuple[int, ...]],
    ) -> list[tuple[str, ...]]:
        """Return one response per prompt and key; a key seeds the sampling of its response."""
        pairs = zip(prompts, keys, strict=True)
        return self.sample_requests(
            [Request(self.encode_dialogue(prompt), prompt_keys) for prompt, prompt_keys in pairs],
            settings,
        )

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> list[GeneratedText]:
        """Return the greedy continuation of each plain text."""
        return self._generate_greedy([self.encode_text(text) for text in texts], max_tokens)

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of each ending of each request."""
        tokenizer = self.chat.tokenizer
        trees = []
        for request in requests:
            context = request.prompt
            prompt = (
                self.encode_text(context)
                if isinstance(context, str)
                else self.chat.encode_prompt(context)
            )
            endings = tokenizer.encode_batch(request.endings, trusted=False, is_continuation=True)
            max_prompt_tokens = (self.model.max_positions or len(prompt) + 1) - max(
                map(len, endings)
            )
            # A prompt that is too long loses its beginning.
            trees.append(make_tree(prompt[-max(1, max_prompt_tokens) :], *endings))
        return self._score_trees(trees)

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return the likelihood of each document, scored in windows of the context length."""
        window = min(self.model.max_positions or MAX_WINDOW_TOKENS, MAX_WINDOW_TOKENS)
        trees, document_indices = [], []
        for index, text in enumerate(documents):
            tokens = self.encode_text(text)
            for start in range(0, len(tokens) - 1, window - 1):
                end = start + window
                trees.append(make_tree(tokens[start : start + 1], tokens[start + 1 : end]))
                document_indices.append(index)
        likelihoods = [Likelihood(0.0, 0)] * len(documents)
        for index, (part,) in zip(document_indices, self._score_trees(trees), strict=True):
            total = likelihoods[index]
            likelihoods[index] = Likelihood(
                total.logprob + part.logprob, total.num_tokens + part.num_tokens
            )
        return likelihoods

    def encode_dialogue(self, prompt: Dialogue) -> list[int]:
        """Return the prompt's tokens; a last assistant message is the beginning of the response."""
        if not prompt or prompt[-1].role != "assistant":
            return self.chat.encode_prompt(prompt)
        (beginning,) = self.chat.tokenizer.encode_batch(
            [prompt[-1].content], trusted=False, is_continuation=True
        )
        return [*self.chat.encode_prompt(prompt[:-1]), *beginning]

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of a plain text, after BOS if the tokenizer adds it; never empty."""
        tokenizer = self.chat.tokenizer
        prefix = (
            [tokenizer.bos_token_id]
            if tokenizer.adds_bos and tokenizer.bos_token_id is not None
            else []
        )
        tokens = prefix + tokenizer.encode(text, trusted=False)
        return tokens or list(self.chat.stop_token_ids[:1])

    def _generate_greedy(
        self, prompts: Sequence[list[int]], max_tokens: int
    ) -> list[GeneratedText]:
        settings = SampleSettings(temperature=0.0, max_tokens=max_tokens)
        return self._sample_one_each([Request(p, (0,)) for p in prompts], settings)

    def _sample_one_each(
        self, requests: Sequence[Request], settings: SampleSettings
    ) -> list[GeneratedText]:
        """Return the response to each request, which has one key."""
        found = self.sample_texts(requests, settings)
        return [GeneratedText(each.text, is_cut_off=each.is_cut_off) for (each,) in found]

    def sample_requests(
        self, requests: Sequence[Request], settings: SampleSettings
    ) -> list[tuple[str, ...]]:
        """Return the text of a response per key."""
        return [tuple(each.text for each in row) for row in self.sample_texts(requests, settings)]

    def sample_texts(
        self, requests: Sequence[Request], settings: SampleSettings
    ) -> list[tuple[SampledText, ...]]:
        """Return a response per key; prompts with the same token limit are sampled together."""
        max_positions, max_tokens = self.model.max_positions, settings.max_tokens
        token_limits = [
            max_tokens if max_positions is None else min(max_tokens, max_positions - len(r.prompt))
            for r in requests
        ]
        answers = [(SampledText(""),) * len(request.keys) for request in requests]
        stops = frozenset(self.chat.stop_token_ids)
        for token_limit in sorted({limit for limit in token_limits if limit > 0}):
            indices = [i for i, limit in enumerate(token_limits) if limit == token_limit]
            responses = sample(
                self.model,
                [requests[i] for i in indices],
                settings.model_copy(update={"max_tokens": token_limit}),
                stopping=self._stop_conditions(settings.stop),
                poll=self.poll,
            )
            texts = (
                SampledText(
                    cut_at_stop(
                        self.chat.tokenizer.decode([t for t in each.tokens if t not in stops]),
                        settings.stop,
                    ),
                    each.finish_reason == "length",
                )
                for each in responses
            )
            for i in indices:
                answers[i] = tuple(itertools.islice(texts, len(requests[i].keys)))
        if num_too_long := sum(limit <= 0 for limit in token_limits):
            self.log(
                f"{self.name}: {format_count(num_too_long, 'prompt', verb='is')} longer than the "
                f"context of {max_positions} tokens; the response is empty"
            )
        return answers

    def _stop_conditions(self, strings: Sequence[str]) -> StopConditions:
        """Return what ends a response: a stop token, or one of the strings."""
        tokenizer, stops = self.chat.tokenizer, frozenset(self.chat.stop_token_ids)
        if not strings:
            return StopConditions(stops)

        def has_stop_string(tokens: Sequence[int]) -> bool:
            text = tokenizer.decode(tokens)
            return cut_at_stop(text, strings) != text

        return StopConditions(stops, has_stop_string)

    @torch.no_grad()
    def token_logprobs(
        self, prompts: Sequence[Sequence[int]], endings: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Return the log-probability of each token of each ending after its prompt."""
        trees = [
            make_tree(prompt, ending, key=str(i))
            for i, (prompt, ending) in enumerate(zip(prompts, endings, strict=True))
            if ending
        ]
        logprobs: dict[int, list[float]] = {}
        for batch in make_micro_batches(self.model, trees, MAX_BATCH_TOKENS):
            self.poll()
            values = score_tokens(self.model, batch).logprobs.tolist()  # [R]
            start = 0
            for key, span in zip(batch.keys, batch.spans, strict=True):
                (length,) = span.branch_lengths
                logprobs[int(key)] = values[start : start + length]
                start += length
        return [logprobs.get(i, []) for i in range(len(endings))]

    @torch.no_grad()
    def _score_trees(self, trees: Sequence[Tree]) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of every branch of every tree."""
        keyed_trees = [Tree(t.prompt, t.branches, str(i)) for i, t in enumerate(trees)]
        likelihoods_by_tree: dict[int, tuple[Likelihood, ...]] = {}
        for batch in make_micro_batches(self.model, keyed_trees, MAX_BATCH_TOKENS):
            self.poll()
            logprobs = score_tokens(self.model, batch).logprobs  # [R]
            totals = segment_sum(
                logprobs.double(), batch.branch_index, len(batch.tree_index)
            ).tolist()
            start = 0
            for key, span in zip(batch.keys, batch.spans, strict=True):
                end = start + len(span.branch_lengths)
                pairs = zip(totals[start:end], span.branch_lengths, strict=True)
                likelihoods_by_tree[int(key)] = tuple(Likelihood(total, n) for total, n in pairs)
                start = end
        return [likelihoods_by_tree[i] for i in range(len(trees))]


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """Return the text up to the first stop string.

    >>> cut_at_stop("Paris. Next: Rome", ("Next", "Rome")), cut_at_stop("Paris.", ("Rome",))
    ('Paris. ', 'Paris.')
    """
    return text[: min((text.find(stop) for stop in stops if stop and stop in text), default=None)]

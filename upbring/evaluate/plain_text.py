"""Scoring and generation on plain text without the chat template, for benchmarks.

Texts are tokenized as in lm-evaluation-harness, for comparable results: a prompt and its ending are
encoded as one text, spaces between them belong to the ending, and a text that exceeds the context
loses its beginning.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.data.trees.batch import Batch
from upbring.data.trees.tree import Tree, make_tree
from upbring.evaluate.local_model import MAX_BATCH_TOKENS, MAX_WINDOW_TOKENS, LocalModel
from upbring.evaluate.model_protocol import Identified
from upbring.maths.segment_sums import segment_sum
from upbring.model.network import hidden_states
from upbring.model.packing import make_micro_batches
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import CHUNK_BYTES, compute_logits
from upbring.settings.sampling import SampleSettings

TextPair = tuple[str, str]  # prompt and ending
MIN_TOKENS = 2  # minimum context: one token, and one predicted from it


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """The identity of a benchmarked model, and the function that loads it."""

    source: Identified
    load: Callable[[], LocalModel]


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """The log-probability of an ending in nats, and whether greedy decoding generates it."""

    logprob: float
    is_greedy: bool


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt, its stop strings and its sampling settings."""

    text: str
    until: tuple[str, ...]
    max_tokens: int
    temperature: float
    top_p: float
    key: int


def score_continuations(
    local_model: LocalModel, pairs: Sequence[TextPair]
) -> list[ContinuationScore]:
    """Return the score of each ending; endings of the same prompt share its computation."""
    indices_by_prompt: dict[tuple[int, ...], list[int]] = defaultdict(list)
    endings: list[list[int]] = []
    for index, (text, ending) in enumerate(pairs):
        prompt, ending_tokens = _truncate_pair(
            *_encode_pair(local_model, text, ending), _max_tokens(local_model)
        )
        endings.append(ending_tokens)
        if ending_tokens:
            indices_by_prompt[tuple(prompt)].append(index)
    trees = [
        make_tree(prompt, *(endings[i] for i in indices))
        for prompt, indices in indices_by_prompt.items()
    ]
    scores = [ContinuationScore(0.0, is_greedy=True)] * len(pairs)
    order = [i for indices in indices_by_prompt.values() for i in indices]
    for position, score in zip(order, _score_trees(local_model, trees), strict=True):
        scores[position] = score
    return scores


def rolling_logprobs(local_model: LocalModel, texts: Sequence[str]) -> list[float]:
    """Return the log-probability of each whole text.

    A long text is scored in windows; each token counts once. The last window has the full context.
    """
    max_window = _max_tokens(local_model) - 1
    trees, text_indices = [], []
    for index, text in enumerate(texts):
        tokens = local_model.chat.tokenizer.encode(text, trusted=False)
        tokens_with_bos = [_start_token(local_model), *tokens]  # index i + 1 is token i
        for start in range(0, len(tokens), max_window):
            end = min(start + max_window, len(tokens))
            trees.append(
                make_tree(tokens_with_bos[max(0, end - max_window) : start + 1], tokens[start:end])
            )
            text_indices.append(index)
    logprobs = [0.0] * len(texts)
    for index, score in zip(text_indices, _score_trees(local_model, trees), strict=True):
        logprobs[index] += score.logprob
    return logprobs


def generate_texts(local_model: LocalModel, requests: Sequence[GenerationRequest]) -> list[str]:
    """Return each continuation up to its first stop string; equal settings share a batch."""
    indices_by_settings: dict[tuple[int, tuple[str, ...], float, float], list[int]] = defaultdict(
        list
    )
    prompts: list[list[int]] = []
    for index, request in enumerate(requests):
        prompt = _encode_text(local_model, request.text)
        max_tokens, limit = request.max_tokens, local_model.model.max_positions
        if limit is not None:
            max_tokens = max(1, min(max_tokens, max(limit - len(prompt), limit // 2)))
            prompt = prompt[-(limit - max_tokens) :]
        prompts.append(prompt)
        indices_by_settings[max_tokens, request.until, request.temperature, request.top_p].append(
            index
        )
    texts = [""] * len(requests)
    for (max_tokens, until, temperature, top_p), indices in indices_by_settings.items():
        settings = SampleSettings(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        sample_requests = [Request(prompts[i], (requests[i].key,)) for i in indices]
        for i, text in zip(
            indices, _sample_texts(local_model, sample_requests, settings, until=until), strict=True
        ):
            texts[i] = _truncate_at_stop(text, until)
    return texts


def _sample_texts(
    local_model: LocalModel,
    requests: Sequence[Request],
    settings: SampleSettings,
    *,
    until: tuple[str, ...],
) -> list[str]:
    stops, tokenizer = frozenset(local_model.chat.stop_token_ids), local_model.chat.tokenizer
    # In bytes, which is enough tokens because a token has at least one byte.
    max_stop_bytes = max((len(text.encode()) for text in until), default=0) + 1

    def ends_with_stop_string(tokens: Sequence[int]) -> bool:
        newest = tokenizer.decode(list(tokens[-max_stop_bytes:]))
        return any(text in newest for text in until)

    stopping = StopConditions(stops, ends_with_stop_string if until else None)
    responses = sample(
        local_model.model, requests, settings, stopping=stopping, poll=local_model.poll
    )
    return [tokenizer.decode([t for t in each.tokens if t not in stops]) for each in responses]


def _truncate_at_stop(text: str, until: Sequence[str]) -> str:
    r"""Return a text up to its first stop string.

    >>> _truncate_at_stop("4\n\nQ: more", ("Q:", "\n\n"))
    '4'
    """
    return text[: min((index for u in until if (index := text.find(u)) >= 0), default=len(text))]


def _encode_pair(local_model: LocalModel, text: str, ending: str) -> tuple[list[int], list[int]]:
    """Return the tokens of a prompt and of its ending, encoded as one text."""
    stripped = text.rstrip()
    if not stripped:
        return [_start_token(local_model)], local_model.chat.tokenizer.encode(
            text + ending, trusted=False
        )
    prompt = _encode_text(local_model, stripped)
    tokens = _encode_text(local_model, text + ending)
    return prompt, tokens[len(prompt) :]


def _truncate_pair(prompt: list[int], ending: list[int], limit: int) -> tuple[list[int], list[int]]:
    """Return both cut at the beginning to fit the limit; the prompt is cut first."""
    ending = ending[-(limit - 1) :]
    return prompt[-(limit - len(ending)) :], ending


def _max_tokens(local_model: LocalModel) -> int:
    """Return the context length for scoring."""
    longest = local_model.model.max_positions
    return MAX_WINDOW_TOKENS if longest is None else max(MIN_TOKENS, longest)


def _start_token(local_model: LocalModel) -> int:
    """Return the token before the first token of a text: BOS, or else the first stop token."""
    bos = local_model.chat.tokenizer.bos_token_id
    return bos if bos is not None else local_model.chat.stop_token_ids[0]


def _encode_text(local_model: LocalModel, text: str) -> list[int]:
    """Return the tokens of a text, after BOS if the tokenizer adds it; never empty."""
    tokenizer = local_model.chat.tokenizer
    prefix = (
        [tokenizer.bos_token_id]
        if tokenizer.adds_bos and tokenizer.bos_token_id is not None
        else []
    )
    return (prefix + tokenizer.encode(text, trusted=False)) or [_start_token(local_model)]


@torch.no_grad()
def _score_trees(local_model: LocalModel, trees: Sequence[Tree]) -> list[ContinuationScore]:
    """Return the score of every branch of every tree, in order."""
    keyed_trees = [Tree(t.prompt, t.branches, str(i)) for i, t in enumerate(trees)]
    scores_by_tree: dict[int, list[ContinuationScore]] = {}
    for batch in make_micro_batches(local_model.model, keyed_trees, MAX_BATCH_TOKENS):
        local_model.poll()
        logprobs, is_greedy = _token_scores(local_model, batch)  # [R] each
        count = len(batch.tree_index)
        totals = segment_sum(logprobs, batch.branch_index, count).tolist()
        misses = segment_sum((~is_greedy).double(), batch.branch_index, count).tolist()
        start = 0
        for key, span in zip(batch.keys, batch.spans, strict=True):
            end = start + len(span.branch_lengths)
            branches = zip(totals[start:end], misses[start:end], strict=True)
            scores_by_tree[int(key)] = [
                ContinuationScore(total, missed == 0) for total, missed in branches
            ]
            start = end
    return [each for i in range(len(trees)) for each in scores_by_tree[i]]


def _token_scores(local_model: LocalModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return log-probabilities `[R]` in float64, and whether each token is the argmax `[R]`."""
    model = local_model.model
    hidden = hidden_states(model, batch)[batch.source]  # [R, D]
    chunk_rows = max(16, CHUNK_BYTES // (4 * model.vocab_size))
    parts = []
    for h, target in zip(
        torch.split(hidden, chunk_rows), torch.split(batch.target, chunk_rows), strict=True
    ):
        logits = compute_logits(model, h)  # [C, V]
        target_logits = logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)  # [C]
        parts.append((target_logits - logits.logsumexp(-1), logits.argmax(-1) == target))
    logprobs, is_greedy = (torch.cat(column) for column in zip(*parts, strict=True))
    return logprobs.double(), is_greedy

"""Adapter from a local model to lm-evaluation-harness's `LM`. Needs `upbring[eval]`.

Requests go through the answer cache: a second run computes only the missing ones.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lm_eval.api.model import LM

from upbring.durable import JSON
from upbring.evaluate import plain_text
from upbring.evaluate.answer_cache import AnswerCache, CacheItem
from upbring.evaluate.plain_text import BenchmarkModel, GenerationRequest
from upbring.maths import counter_rng

SHOWN_CHARACTERS = 500  # the cache stores only the end of a prompt; the key hashes all of it
DEFAULT_MAX_TOKENS = 256  # for tasks that set no limit


class HarnessModel(LM):  # type: ignore[misc]  # lm_eval is untyped
    """Implements the three request types of the harness."""

    def __init__(
        self, benchmark_model: BenchmarkModel, cache: AnswerCache, *, suite: str, seed: int
    ) -> None:
        super().__init__()
        self.benchmark_model, self.cache, self.suite, self.seed = (
            benchmark_model,
            cache,
            suite,
            seed,
        )

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return each ending's log-probability, and whether it is the greedy continuation."""
        pairs: list[plain_text.TextPair] = [request.args for request in requests]

        def compute(indices: list[int]) -> list[dict[str, JSON]]:
            scores = plain_text.score_continuations(
                self.benchmark_model.load(), [pairs[i] for i in indices]
            )
            return [
                {"response": pairs[i][1], "logprob": w.logprob, "is_likeliest": w.is_greedy}
                for i, w in zip(indices, scores, strict=True)
            ]

        items = [CacheItem(text[-SHOWN_CHARACTERS:], (text, ending)) for text, ending in pairs]
        rows = self.cache.get_or_compute(
            self.suite, self.benchmark_model.source, items, compute=compute, kind="ending"
        )
        return [(float(cast("float", r["logprob"])), bool(r["is_likeliest"])) for r in rows]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Return the log-probability of each whole text."""
        texts: list[str] = [request.args[0] for request in requests]

        def compute(indices: list[int]) -> list[dict[str, JSON]]:
            logprobs = plain_text.rolling_logprobs(
                self.benchmark_model.load(), [texts[i] for i in indices]
            )
            return [{"logprob": logprob} for logprob in logprobs]

        items = [CacheItem(text[-SHOWN_CHARACTERS:], (text,)) for text in texts]
        rows = self.cache.get_or_compute(
            self.suite, self.benchmark_model.source, items, compute=compute, kind="text"
        )
        return [float(cast("float", row["logprob"])) for row in rows]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the continuation of each text."""
        seen: Counter[tuple[str, str]] = Counter()
        generation_requests, items = [], []
        for request in requests:
            text, gen_kwargs = request.args
            request_key = text, repr(sorted(gen_kwargs.items()))
            seen[request_key] += 1  # a repeated request gets its own random key
            generation_requests.append(
                _to_generation_request(
                    text,
                    gen_kwargs,
                    key=counter_rng.key(self.seed, self.suite, *request_key, seen[request_key]),
                )
            )
            items.append(
                CacheItem(text[-SHOWN_CHARACTERS:], (*request_key, self.seed, seen[request_key]))
            )

        def generate(indices: list[int]) -> list[dict[str, JSON]]:
            texts = plain_text.generate_texts(
                self.benchmark_model.load(), [generation_requests[i] for i in indices]
            )
            return [{"response": text} for text in texts]

        rows = self.cache.get_or_compute(
            self.suite, self.benchmark_model.source, items, compute=generate, kind="going on"
        )
        return [str(row["response"]) for row in rows]


def _to_generation_request(
    text: str, gen_kwargs: Mapping[str, Any], *, key: int
) -> GenerationRequest:
    """Convert the generation arguments of a task; the default is greedy decoding."""
    until = gen_kwargs.get("until") or ()
    until = (until,) if isinstance(until, str) else tuple(until)
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    max_tokens = next(
        (int(gen_kwargs[name]) for name in names if gen_kwargs.get(name) is not None),
        DEFAULT_MAX_TOKENS,
    )
    temperature = float(gen_kwargs.get("temperature") or 0.0)
    do_sample = bool(gen_kwargs.get("do_sample", temperature > 0)) and temperature > 0
    return GenerationRequest(
        text,
        tuple(each for each in until if each),
        max_tokens,
        temperature if do_sample else 0.0,
        float(gen_kwargs.get("top_p") or 1.0),
        key,
    )

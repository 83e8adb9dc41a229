"""The fields of a request that decide how a response is sampled."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from upbring.maths import counter_rng
from upbring.serve.engine.requests import TokenSampling
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields

MAX_SAMPLES = 128
MAX_TOP = 20  # likeliest tokens per place
MAX_STOPS, MAX_STOP_CHARACTERS = 16, 256
MAX_BIASES = 1024
ANY_INTEGER = 2**63
# Fields that would change the response and are not implemented: an answer without them is wrong.
UNSUPPORTED = (
    *("functions", "function_call", "audio", "web_search_options", "guided_json", "guided_regex"),
    *("guided_choice", "guided_grammar", "bad_words", "min_tokens"),
    *("chat_template", "continue_final_message", "truncate_prompt_tokens", "prompt_logprobs"),
    *("use_beam_search", "length_penalty", "allowed_token_ids", "documents", "lora_path", "suffix"),
)
# Fields that are implemented with one value only: the value that a client may send.
ONLY = {
    "best_of": (1,),
    "modalities": (["text"],),
    "add_generation_prompt": (True,),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "parallel_tool_calls": (True, False),
}


@dataclass(frozen=True, slots=True)
class SamplingFields:
    """How the responses to one request are sampled."""

    sampling: TokenSampling
    n: int
    seed: int | None
    stop: tuple[str, ...]
    stop_token_ids: frozenset[int]
    ignores_eos: bool

    def keys(self, prompt_index: int = 0) -> tuple[int, ...]:
        """Return one random key per sample; without a seed they are new each time."""
        seed = secrets.randbits(62) if self.seed is None else self.seed
        return tuple(counter_rng.key(seed, "serve", prompt_index, i) for i in range(self.n))


def reject_unsupported(fields: Fields) -> None:
    """Raise if a field is set that would change the response and is not implemented."""
    for name in UNSUPPORTED:
        if fields.values.get(name) not in (None, False, [], ""):
            raise ApiError(
                f"{name}: is not supported; leave it out", param=name, code="unsupported_parameter"
            )
    for name, allowed in ONLY.items():
        value = fields.values.get(name)
        if value is not None and value not in allowed and value != fields.values.get("n", 1):
            raise fields.fail(name, " or ".join(str(each).lower() for each in allowed))


def read_sampling(fields: Fields, *, vocab_size: int) -> SamplingFields:
    """Return how a request is sampled."""
    reject_unsupported(fields)
    return SamplingFields(
        TokenSampling(
            temperature=fields.number("temperature", 1.0, low=0, high=100),
            top_p=_positive(fields, "top_p"),
            top_k=max(0, fields.integer("top_k", 0, low=-1, high=ANY_INTEGER)),
            min_p=fields.number("min_p", 0.0, low=0, high=1),
            presence_penalty=fields.number("presence_penalty", 0.0, low=-2, high=2),
            frequency_penalty=fields.number("frequency_penalty", 0.0, low=-2, high=2),
            repetition_penalty=fields.number("repetition_penalty", 1.0, low=0.01, high=100),
            logit_bias=_logit_bias(fields, vocab_size),
        ),
        n=fields.integer("n", 1, low=1, high=MAX_SAMPLES),
        seed=_seed(fields),
        stop=read_stop(fields),
        stop_token_ids=_stop_token_ids(fields, vocab_size),
        ignores_eos=fields.boolean("ignore_eos", default=False),
    )


def read_stop(fields: Fields) -> tuple[str, ...]:
    """Return the strings that end a response: one, or an array of them."""
    value = fields.values.get("stop")
    values: Sequence[object] = [value] if isinstance(value, str) else (value or [])  # type: ignore[assignment]  # checked next
    if not isinstance(values, list) or len(values) > MAX_STOPS:
        raise fields.fail("stop", f"a string, or an array of at most {MAX_STOPS} strings")
    stops = []
    for each in values:
        if not isinstance(each, str) or len(each) > MAX_STOP_CHARACTERS:
            raise fields.fail("stop", f"strings of at most {MAX_STOP_CHARACTERS} characters")
        stops.append(each)
    return tuple(each for each in stops if each)


def _positive(fields: Fields, name: str) -> float:
    value = fields.number(name, 1.0, low=0, high=1)
    return value or 1e-9  # 0 keeps the likeliest token


def _seed(fields: Fields) -> int | None:
    if not fields.has("seed"):
        return None
    return fields.integer("seed", 0, low=-ANY_INTEGER, high=ANY_INTEGER)


def _logit_bias(fields: Fields, vocab_size: int) -> dict[int, float]:
    biases = fields.fields("logit_bias").values
    if len(biases) > MAX_BIASES:
        raise ApiError(f"logit_bias: has more than {MAX_BIASES} tokens", param="logit_bias")
    found = {}
    for token, bias in biases.items():
        is_token = token.isascii() and token.isdecimal() and len(token) < 10  # noqa: PLR2004 -- digits of a token id
        if not is_token or int(token) >= vocab_size:
            raise ApiError(
                f"logit_bias: {token[:20]!r} is not a token id below {vocab_size}",
                param="logit_bias",
            )
        found[int(token)] = Fields({"bias": bias}, "logit_bias").number(
            "bias", 0.0, low=-100, high=100
        )
    return found


def _stop_token_ids(fields: Fields, vocab_size: int) -> frozenset[int]:
    return frozenset(
        read_token_ids(
            fields, "stop_token_ids", fields.array("stop_token_ids", most=64), vocab_size
        )
    )


def read_token_ids(
    fields: Fields, name: str, values: Sequence[object], vocab_size: int
) -> list[int]:
    """Return token ids, each within the vocabulary."""
    for value in values:
        if type(value) is not int or not 0 <= value < vocab_size:
            raise ApiError(
                f"{fields.name(name)}: {value!r:.40} is not a token id from 0 to {vocab_size - 1}",
                param=fields.name(name),
            )
    return [value for value in values if isinstance(value, int)]

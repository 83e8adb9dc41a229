"""Check at load time that log-probabilities are those of plain transformers, on every path used.

A tree of two branches, 40 tokens, is scored packed, and both texts by transformers alone; a few
tokens are sampled with cached keys and values, and then scored. An architecture that fails runs one
sequence at a time, or samples without a cache; one whose log-probabilities differ even then is
refused, so that training is never silently wrong.

The paths are compared in float32, where rounding hides nothing; if they differ, the float32 of
transformers is compared with float64, and a path may be about as far from it. In bfloat16 the same
paths must be about as close to float32 as transformers in bfloat16 is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from upbring import durable
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.attention import ATTENTION_NAME, UnsupportedAttention
from upbring.model.decoder import Decoder, first_layers, make_decoder
from upbring.model.in_dtype import in_dtype
from upbring.model.network import Model
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.sampling import SampleSettings

PROMPT_LENGTH, BRANCH_LENGTH = 14, 13
SAMPLED_LENGTH = 2
# RMS error of packed bfloat16, in multiples of that of transformers. Right architectures reach 1.6.
ERROR_RATIO = 3.0
MIN_ROUNDING = 1e-3  # of bfloat16, in nats: the error of a tiny model may vanish by chance

PATH_ERRORS = (
    UnsupportedAttention,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, eq=False)
class ProbeTexts:
    """The tokens of the probe: a prompt and its branches, of equal length."""

    prompt: list[int]
    branches: tuple[list[int], ...]

    def batch(self, model: Model) -> Batch:
        """Return the tree of all branches."""
        return make_batch([make_tree(self.prompt, *self.branches)]).to(model.device)


@torch.no_grad()
def probe_architecture(model: Model, *, log: Callable[[str], None]) -> Model:
    """Return the model set up for the fastest path that is correct for it, or raise.

    The network must be as transformers loaded it, in evaluation mode.
    """
    texts = _probe_texts(model.vocab_size)
    original_attention = model.network.config._attn_implementation  # noqa: SLF001 -- has no public getter
    reference = _reference_logprobs(model, texts)
    is_float32 = model.compute_dtype == torch.float32
    exact_model = replace(model, compute_dtype=torch.float32)
    with in_dtype(model.network, torch.float32):
        exact = reference if is_float32 else _reference_logprobs(exact_model, texts)
    chosen = _fastest_path(exact_model, texts, exact, original_attention, log=log)
    if is_float32:
        return _with_right_decoder(chosen, texts, log=log)
    own_error = _rms(reference - exact)
    chosen = replace(
        chosen, compute_dtype=model.compute_dtype, rounding=max(MIN_ROUNDING, own_error)
    )
    error = _rms(score_tokens(chosen, texts.batch(chosen)).logprobs - exact)
    if not error <= ERROR_RATIO * chosen.rounding:
        raise InputError(
            f"{_name(model)}: in {_dtype_name(model)} log-probabilities differ by {error:.2g} from "
            f"float32, those of transformers by {own_error:.2g}; use --dtype float32"
        )
    return _with_right_decoder(chosen, texts, log=log)


def _fastest_path(
    model: Model,
    texts: ProbeTexts,
    expected: Tensor,
    original_attention: str,
    *,
    log: Callable[[str], None],
) -> Model:
    """Return the model with what it computes correctly in float32, and log what it does not.

    Only if something differs by more than usual is the rounding of the model itself measured.
    """
    messages: list[str] = []
    failure: InputError | None = None
    chosen = model
    try:
        with in_dtype(model.network, torch.float32):
            chosen = _try_paths(model, texts, expected, original_attention, log=messages.append)
    except InputError as error:
        failure = error
    if failure is None and not messages:
        return chosen
    model.network.set_attn_implementation(original_attention)
    own_error = _float32_error(model, texts, expected)
    if ERROR_RATIO * own_error > model.rounding:
        larger = replace(model, rounding=ERROR_RATIO * own_error)
        with in_dtype(model.network, torch.float32):
            return _try_paths(larger, texts, expected, original_attention, log=log)
    if failure is not None:
        raise failure
    if chosen.is_packed:
        model.network.set_attn_implementation(ATTENTION_NAME)
    for message in messages:
        log(message)
    return chosen


def _float32_error(model: Model, texts: ProbeTexts, expected: Tensor) -> float:
    """Return how far transformers in float32 is from float64; 0 if float64 cannot be computed."""
    try:
        with in_dtype(model.network, torch.float64):
            return _max_difference(_reference_logprobs(model, texts), expected)
    except InputError:  # the architecture mixes it with float32
        return 0.0


def _try_paths(
    model: Model,
    texts: ProbeTexts,
    expected: Tensor,
    original_attention: str,
    *,
    log: Callable[[str], None],
) -> Model:
    """Return the model with what it computes within `model.rounding`, or raise an InputError."""
    model.network.set_attn_implementation(ATTENTION_NAME)
    reason = _scoring_error(model, texts, expected)
    if reason is None:
        return _with_right_sampling(model, texts, log=log)
    model.network.set_attn_implementation(original_attention)
    slow = replace(model, is_packed=False)
    error = _scoring_error(slow, texts, expected) or _sampling_error(slow, texts)
    if error is not None:
        raise InputError(
            f"{_name(model)}: {error} from those of transformers, so this architecture is not "
            "supported; use another model"
            if error.startswith("log-probabilities differ")
            else f"{_name(model)}: this architecture is not supported ({error}); use another model"
        )
    log(
        f"{_name(model)}: packed trees are not supported ({reason}); running one sequence at a "
        "time, which is slower"
    )
    return slow


def _with_right_sampling(model: Model, texts: ProbeTexts, *, log: Callable[[str], None]) -> Model:
    """Return the model with cached keys and values if it samples correctly with them."""
    reason = _sampling_error(model, texts)
    if reason is None:
        return model
    uncached = replace(model, is_cached=False)
    if (error := _sampling_error(uncached, texts)) is not None:
        raise InputError(
            f"{_name(model)}: this architecture is not supported (sampling: {error}); use another "
            "model"
        )
    log(
        f"{_name(model)}: sampling with cached keys and values is not supported ({reason}); every "
        "token is computed from the whole text, which is slower"
    )
    return uncached


def _with_right_decoder(model: Model, texts: ProbeTexts, *, log: Callable[[str], None]) -> Model:
    """Return the model with its decoder if that samples correctly, as long responses are sampled.

    This is in the compute dtype: the decoder's weights are a copy in it. A few layers are enough
    to find what it does not know, and take a fraction of the time and memory.
    """
    if not (model.is_packed and model.is_cached):
        return model
    with torch.inference_mode(), first_layers(model.network):
        decoder = make_decoder(model, num_rows=3, is_head_packed=False)
        if decoder is None:
            return model
        sampled, scored = _sampled_and_scored(model, texts, decoder=decoder)
    error = _rms(sampled - scored)
    if error <= ERROR_RATIO * model.rounding:
        return model
    log(
        f"{_name(model)}: sampling from a packed copy of the weights is not supported "
        f"(log-probabilities differ by {error:.2g}); sampling is slower"
    )
    return replace(model, has_decoder=False)


def probe_gradient_checkpointing(model: Model, parameters: Iterable[nn.Parameter]) -> None:
    """Raise an InputError if recomputed layers change a log-probability.

    Call it when gradient checkpointing is on. `parameters` are those that are trained.
    """
    batch = _probe_texts(model.vocab_size).batch(model)
    with torch.no_grad():
        expected = score_tokens(model, batch).logprobs
    trained = [p for p in parameters if p.requires_grad]
    try:
        logprobs = score_tokens(model, batch).logprobs
        torch.autograd.grad(logprobs.sum(), trained, allow_unused=True)
    except (
        RuntimeError,
        ValueError,
        TypeError,
    ) as error:  # torch finds other shapes the second time
        raise InputError(_checkpointing_text(model, _reason(error))) from error
    difference = _max_difference(logprobs.detach(), expected)
    if not difference <= ERROR_RATIO * model.rounding:
        raise InputError(
            _checkpointing_text(model, f"log-probabilities change by {difference:.2g}")
        )


def _checkpointing_text(model: Model, reason: str) -> str:
    return (
        f"gradient_checkpointing: does not work with {_name(model)} ({reason}); leave it out, and "
        "lower micro_batch_tokens to save memory"
    )


def _probe_texts(vocab_size: int) -> ProbeTexts:
    permutation = counter_rng.permutation(counter_rng.key("probe"), vocab_size)
    count = PROMPT_LENGTH + 2 * BRANCH_LENGTH
    tokens = permutation[:count].repeat(1 + count // vocab_size).tolist()
    prompt, rest = tokens[:PROMPT_LENGTH], tokens[PROMPT_LENGTH:]
    return ProbeTexts(prompt, (rest[:BRANCH_LENGTH], rest[BRANCH_LENGTH : 2 * BRANCH_LENGTH]))


def _scoring_error(model: Model, texts: ProbeTexts, expected: Tensor) -> str | None:
    """Return why a model's path does not score correctly, or None if it does."""
    try:
        logprobs = score_tokens(model, texts.batch(model)).logprobs
    except PATH_ERRORS as error:
        return _reason(error)
    return _difference_text(logprobs, expected, model.rounding)


def _sampling_error(model: Model, texts: ProbeTexts) -> str | None:
    """Return why sampled tokens have other log-probabilities when they are scored, or None."""
    try:
        sampled, scored = _sampled_and_scored(model, texts)
    except PATH_ERRORS as error:
        return _reason(error)
    return _difference_text(sampled, scored, model.rounding)


def _sampled_and_scored(
    model: Model, texts: ProbeTexts, *, decoder: Decoder | None = None
) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of a few tokens as they were sampled, and as they are scored."""
    first, second = texts.prompt, texts.prompt[: PROMPT_LENGTH // 2]
    requests = [Request(first, (1, 2)), Request(second, (3,))]
    responses = sample(
        model,
        requests,
        SampleSettings(temperature=1.0, max_tokens=SAMPLED_LENGTH),
        stopping=StopConditions(),
        decoder=decoder,
    )
    trees = [make_tree(requests[r.request_index].prompt, r.tokens) for r in responses]
    scored = score_tokens(model, make_batch(trees).to(model.device)).logprobs
    sampled = [logprob for response in responses for logprob in response.logprobs]
    return torch.tensor(sampled, device=scored.device), scored


def _reference_logprobs(model: Model, texts: ProbeTexts) -> Tensor:
    """Return the log-probabilities of all branches, computed by transformers alone.

    The logits are normalized in float64: log_softmax in float32 adds up V numbers one by one on
    some processors, which at V = 262,144 costs 1e-4.
    """
    p = len(texts.prompt)
    tokens = torch.tensor([texts.prompt + b for b in texts.branches], device=model.device)
    try:
        with model.autocast():
            logits = model.network(input_ids=tokens, use_cache=False).logits
    except Exception as error:  # whatever the configuration leads to
        raise InputError(
            f"{_name(model)}: transformers cannot compute a text with this model "
            f"({_reason(error)}); use another model"
        ) from error
    logprobs: Tensor = (
        logits[:, p - 1 : -1].double().log_softmax(-1).gather(-1, tokens[:, p:, None])
    )
    return logprobs.flatten().float()


def _difference_text(actual: Tensor, expected: Tensor, rounding: float) -> str | None:
    difference = _max_difference(actual, expected)
    if difference <= rounding:
        return None
    return f"log-probabilities differ by {difference:.2g}"


def _max_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max())


def _rms(differences: Tensor) -> float:
    return float(differences.square().mean().sqrt())


def _name(model: Model) -> str:
    return type(model.network).__name__


def _dtype_name(model: Model) -> str:
    return str(model.compute_dtype).removeprefix("torch.")


def _reason(error: Exception) -> str:
    """Return an error's first line, or raise it if it is the machine's: no memory is no verdict."""
    if durable.is_resource_error(error):
        raise error
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""The time of a stage, from a two-second measurement of its first layers.

The model's own code is timed at its own shapes and dtype, with every weight 0.01: a few trees
through two layers, some rows of logits, an optimizer step on some of the parameters and, if a stage
samples responses, some of their tokens. The rest is arithmetic.

Excluded: loading, tokenizing and saving. `machine_load` measures the load of other programs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import Tree
from upbring.model.decoder import make_decoder
from upbring.model.network import Model, hidden_states
from upbring.model.roles import BASE
from upbring.model.sampling import Request, Response, StopConditions, sample, sample_next_tokens
from upbring.model.score import compute_logits, score_hidden_states, transform_logits
from upbring.settings.sampling import SampleSettings
from upbring.stages.planning.estimate import MemoryProfile
from upbring.stages.planning.memory_probe import (
    NUM_PROBE_LAYERS,
    PROBE_ROLE,
    ProbeConfig,
    fill_tensors,
    make_meta_network,
    supported_model,
)

PROBE_SECONDS = 2.0
FILL_VALUE = 0.01
MAX_TIMED_PARAMETERS = 4_000_000  # of an optimizer step
NUM_ROWS = 256
NUM_DECODED_TOKENS = 4  # of each response


@dataclass(frozen=True, slots=True)
class SpeedProfile:
    """Seconds of each operation that a stage repeats."""

    train_token: float  # forward and backward, per layer
    forward_token: float  # forward alone, per layer
    train_row: float  # of logits, forward and backward
    forward_row: float  # of logits, forward alone
    update_parameter: float  # in an optimizer step
    decode_token: float  # a token of a single response, per layer
    decode_step: float = 0.0  # a token of every concurrent response, per layer
    sample_step: float = 0.0  # the choice of those tokens


@dataclass(frozen=True, slots=True)
class SamplingWorkload:
    """How a stage samples responses."""

    concurrent_responses: int
    mean_tokens: int  # of a prompt and its response


@dataclass(frozen=True, slots=True)
class TimeWorkload:
    """How often a stage repeats each operation."""

    steps: int
    step_tokens: float  # in a step
    step_rows: float  # of them weighted
    evaluations: int = 0
    eval_tokens: int = 0  # in an evaluation
    eval_rows: int = 0
    eval_decode_tokens: int = 0  # of the sample prompts' responses, one after another
    passes_per_token: int = 1  # of training: two for a policy and a value model
    trainable_adapters: int = 1
    scored_tokens: float = 0.0  # by forward passes of all models, for a step
    scored_rows: float = 0.0
    decode_steps: float = 0.0  # of all concurrent responses, for a step
    eval_decode_steps: float = 0.0  # and in an evaluation
    setup_tokens: int = 0  # scored before the first step
    setup_rows: int = 0


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """The seconds of a stage."""

    step: float
    evaluation: float
    total: float
    setup: float = 0.0  # before the first step
    other_load: float | None = 0.0  # share of the cores that other programs used; None: unknown


def estimate_seconds(
    memory_profile: MemoryProfile, speed_profile: SpeedProfile, time_workload: TimeWorkload
) -> TimeEstimate:
    """Return the time of a stage's steps and evaluations."""
    decode_step = memory_profile.num_layers * speed_profile.decode_step + speed_profile.sample_step
    step = (
        memory_profile.num_layers
        * speed_profile.train_token
        * time_workload.step_tokens
        * time_workload.passes_per_token
        + speed_profile.train_row * time_workload.step_rows
        + speed_profile.update_parameter
        * memory_profile.num_trainable
        * time_workload.trainable_adapters
        + memory_profile.num_layers * speed_profile.forward_token * time_workload.scored_tokens
        + speed_profile.forward_row * time_workload.scored_rows
        + decode_step * time_workload.decode_steps
    )
    evaluation = (
        memory_profile.num_layers
        * (
            speed_profile.forward_token * time_workload.eval_tokens
            + speed_profile.decode_token * time_workload.eval_decode_tokens
        )
        + speed_profile.forward_row * (time_workload.eval_rows + time_workload.eval_decode_tokens)
        + decode_step * time_workload.eval_decode_steps
    )
    setup = (
        memory_profile.num_layers * speed_profile.forward_token * time_workload.setup_tokens
        + speed_profile.forward_row * time_workload.setup_rows
    )
    total = setup + time_workload.steps * step + time_workload.evaluations * evaluation
    return TimeEstimate(step, evaluation, total, setup)


def measure_speed(
    config: PretrainedConfig,
    probe_config: ProbeConfig,
    trees: Sequence[Tree],
    *,
    sampling: SamplingWorkload | None = None,
    max_seconds: float = PROBE_SECONDS,
) -> SpeedProfile:
    """Return the speed of this machine at a model's own shapes, in about `max_seconds` seconds."""
    network, roles = make_meta_network(config, probe_config, layers=NUM_PROBE_LAYERS)
    fill_tensors(network, probe_config.device, FILL_VALUE)
    model = supported_model(Model(network, probe_config.compute_dtype))
    with roles.active(BASE if probe_config.is_full else PROBE_ROLE):
        train_token, forward_token, decode_token = _time_layers(
            model, trees, max_seconds=max_seconds / 2
        )
        train_row, forward_row = _time_logits(model, max_seconds=max_seconds / 4)
        decode_step, sample_step = (
            (0.0, 0.0)
            if sampling is None
            else _time_decoding(model, sampling, max_seconds=max_seconds / 4)
        )
    trainable = [p for p in network.parameters() if p.requires_grad]
    update_parameter = _time_optimizer(trainable, max_seconds=max_seconds / 8)
    return SpeedProfile(
        train_token,
        forward_token,
        train_row,
        forward_row,
        update_parameter,
        decode_token,
        decode_step,
        sample_step,
    )


def _time_layers(
    model: Model, trees: Sequence[Tree], *, max_seconds: float
) -> tuple[float, float, float]:
    """Return the seconds of a layer for a trained, a scored and a decoded token."""
    count = 1
    while True:
        batch = make_batch(trees[:count]).to(model.device)
        batches = [make_batch([each]).to(model.device) for each in trees[:1]]

        def forward_backward() -> None:
            hidden = hidden_states(model, batch)  # noqa: B023 -- called before the next turn
            torch.autograd.backward(hidden, torch.ones_like(hidden))

        train_seconds = _median_seconds(forward_backward, model.device, max_seconds=0)
        if count >= len(trees) or train_seconds * 3 > max_seconds:
            break
        count = min(len(trees), max(count + 1, int(count * max_seconds / 3 / train_seconds)))
    train_seconds = min(
        train_seconds, _median_seconds(forward_backward, model.device, max_seconds=max_seconds / 2)
    )

    @torch.no_grad()
    def forward() -> None:
        hidden_states(model, batch)

    first = batches[0].tokens[:1]
    single_token = make_batch([Tree(first.cpu().numpy(), (), "")]).to(model.device)

    @torch.no_grad()
    def decode() -> None:
        hidden_states(model, single_token)

    forward_seconds = _median_seconds(forward, model.device, max_seconds=max_seconds / 4)
    decode_seconds = _median_seconds(decode, model.device, max_seconds=max_seconds / 10)
    layer_tokens = NUM_PROBE_LAYERS * batch.num_tokens
    return (
        train_seconds / layer_tokens,
        forward_seconds / layer_tokens,
        decode_seconds / NUM_PROBE_LAYERS,
    )


def _time_logits(model: Model, *, max_seconds: float) -> tuple[float, float]:
    """Return the seconds of a row of logits with and without gradients."""
    width = model.network.get_output_embeddings().weight.shape[1]
    hidden = torch.full((NUM_ROWS, width), FILL_VALUE, device=model.device, requires_grad=True)
    target = torch.zeros(NUM_ROWS, dtype=torch.int64, device=model.device)

    def forward_backward() -> None:
        torch.autograd.backward(score_hidden_states(model, hidden, target).logprobs.sum())

    @torch.no_grad()
    def forward() -> None:
        score_hidden_states(model, hidden, target)

    train_seconds = _median_seconds(forward_backward, model.device, max_seconds=max_seconds)
    return train_seconds / NUM_ROWS, _median_seconds(
        forward, model.device, max_seconds=max_seconds / 2
    ) / NUM_ROWS


def _time_decoding(
    model: Model, sampling: SamplingWorkload, *, max_seconds: float
) -> tuple[float, float]:
    """Return the seconds of a layer and of sampling for one more token of every response."""
    sampling_settings = SampleSettings(temperature=1.0)
    count = sampling.concurrent_responses
    requests = [
        Request([0] * max(1, sampling.mean_tokens - NUM_DECODED_TOKENS // 2), (i,))
        for i in range(count)
    ]

    with torch.inference_mode():
        decoder = make_decoder(model, num_rows=count)

    def generate(max_tokens: int) -> None:
        limited = sampling_settings.model_copy(update={"max_tokens": max_tokens})
        sample(
            model, requests, limited, stopping=StopConditions(), num_slots=count, decoder=decoder
        )

    device = model.device
    width = model.network.get_output_embeddings().weight.shape[1]
    hidden = torch.full((count, width), FILL_VALUE, device=device)
    rows = [(Response(i, 0), i) for i in range(count)]

    @torch.no_grad()
    def sample_tokens() -> None:
        logits = (
            compute_logits(model, hidden)
            if decoder is None
            else transform_logits(model, decoder.head(hidden.to(decoder.dtype)))
        )
        sample_next_tokens(logits, rows, sampling_settings)

    sample_seconds = _median_seconds(sample_tokens, device, max_seconds=max_seconds / 4)
    first_token = _median_seconds(lambda: generate(1), device, max_seconds=max_seconds / 4)
    all_tokens = _median_seconds(
        lambda: generate(1 + NUM_DECODED_TOKENS), device, max_seconds=max_seconds / 2
    )
    return max(
        0.0, (all_tokens - first_token) / NUM_DECODED_TOKENS - sample_seconds
    ) / NUM_PROBE_LAYERS, sample_seconds


def _time_optimizer(trainable: Sequence[nn.Parameter], *, max_seconds: float) -> float:
    """Return the seconds of an AdamW step for one parameter."""
    timed: list[Tensor] = []
    for parameter in trainable:
        if sum(t.numel() for t in timed) < MAX_TIMED_PARAMETERS:
            timed.append(parameter)
    for each in timed:
        each.grad = torch.full_like(each, FILL_VALUE)
    optimizer = torch.optim.AdamW(timed, foreach=True)
    count = sum(t.numel() for t in timed)

    def step() -> None:
        optimizer.step()

    return _median_seconds(step, timed[0].device, max_seconds=max_seconds) / count


def _median_seconds(
    action: Callable[[], None], device: torch.device, *, max_seconds: float
) -> float:
    """Return the median time of an action, repeated for `max_seconds`."""
    action()  # warms up the caches
    timings: list[float] = []
    while sum(timings) < max_seconds or not timings:
        started_at = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        timings.append(time.perf_counter() - started_at)
    return sorted(timings)[len(timings) // 2]

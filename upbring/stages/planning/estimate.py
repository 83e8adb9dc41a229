"""The memory of a stage, by part: arithmetic on a `MemoryProfile` and a `MemoryWorkload`.

`memory_probe` measures the profile of the model, `workload` the workload of the method. The peak of
a process is what it holds all the time plus what its largest phase adds.

Two numbers are measured and not derived: the buffers that libraries allocate with the first step,
and heap fragmentation (see `docs/learn/plan.md`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

FLOAT32_BYTES = 4  # of a trained weight, of its gradient and of each of its moments
NUM_ADAMW_MOMENTS = 2

# Glibc 2.36 does not reuse the memory of a freed aligned tensor for another one of its size, so
# short-lived tensors take more than their size. Measured on 2 cores against the same run with an
# allocator without fragmentation: models with 3, 60, 240, 380, 530 and 960 MB of tensors at the
# peak took 20, 100, 200, 210, 250 and 440 MB more. With gradient checkpointing, two Llamas, two
# Qwen2 and a GPT-2 lost another 0.19 to 0.32 of a layer's forward tensors in each layer.
FIRST_STEP_BYTES = 20_000_000
FRAGMENTATION = 0.3
MAX_FIXED_FRAGMENTATION = 80_000_000  # in addition, but no more than the temporaries
RECOMPUTE_FRAGMENTATION = 0.25  # of the tensors of a recomputed layer

# oneDNN compiles a bfloat16 kernel for each matrix shape and caches it (0.32 MB each, measured).
KERNEL_BYTES = 320_000
FORWARD_PER_SAVED = 2.0  # a layer's forward pass allocates about twice what it saves for backward
LINEAR_SHAPES, ATTENTION_SHAPES = 30, 6  # of a micro-batch, and of each sequence length

# Sampling a token holds a row of logits, log-probabilities and scaled logits (float32), and three
# more rows of 32 bits for the noise.
SAMPLING_BYTES_PER_LOGIT = 3 * 4 + 3 * 4

LIBRARIES = "libraries"
LOADING = "loading"
MOMENTS = "optimizer moments"
RECOMPUTED = "fragmentation by recomputation"


@dataclass(frozen=True, slots=True)
class LinearBytes:
    """Bytes as a linear function of the number of tokens, or of rows of logits."""

    fixed: float
    per_unit: float

    def bytes_for(self, count: int) -> int:
        """Return the bytes of `count` tokens or rows; none has no fixed bytes either."""
        return round(self.fixed + self.per_unit * count) if count else 0

    def __add__(self, other: "LinearBytes") -> "LinearBytes":
        return LinearBytes(self.fixed + other.fixed, self.per_unit + other.per_unit)

    def __mul__(self, factor: float) -> "LinearBytes":
        return LinearBytes(self.fixed * factor, self.per_unit * factor)


@dataclass(frozen=True, slots=True)
class MemoryProfile:
    """What was measured of a model and of the role that is trained on it."""

    num_layers: int
    hidden_size: int
    vocab_size: int
    element_bytes: int  # of an element of the hidden states
    weight_bytes: int  # of parameters and buffers without adapters
    num_parameters: int
    file_bytes: int  # mapped while the weights are read
    num_trainable: int
    is_full: bool  # whether the trained parameters are the weights themselves
    layer_activations: LinearBytes  # saved by a layer for the backward pass, per token
    other_activations: LinearBytes  # saved outside of the layers, per token
    training_temporaries: LinearBytes  # allocated and freed while the layers train, per token
    recomputed_per_layer: LinearBytes  # of a recomputed layer's forward pass, per token
    forward_temporaries: LinearBytes  # allocated and freed in a forward pass alone, per token
    training_logits: LinearBytes  # per row, with gradients
    forward_logits: LinearBytes  # per row, without gradients
    max_logit_rows: int  # computed at once
    kv_cache_per_token: int  # in all layers
    decoder_bytes: int = 0  # the copy of the weights that generates

    @property
    def adapter_bytes(self) -> int:
        """Bytes of the trained weights of an adapter."""
        return 0 if self.is_full else FLOAT32_BYTES * self.num_trainable

    @property
    def activations(self) -> LinearBytes:
        """What the whole model saves for the backward pass, per token."""
        return self.layer_activations * self.num_layers + self.other_activations


@dataclass(frozen=True, slots=True)
class MemoryWorkload:
    """The largest batch of each phase of a stage."""

    train_tokens: int  # in a micro-batch of a training step
    train_rows: int  # of them weighted
    micro_batches: int = 1  # of a step
    forward_tokens: int = 0  # in a micro-batch that is only scored
    forward_rows: int = 0
    kv_cache_tokens: int = 0
    trainable_adapters: int = 1  # two for a policy and a value model
    frozen_adapters: int = 0
    passes_per_token: int = 1  # of training at once: two for a policy and a value model
    other_model_bytes: int = 0
    concurrent_responses: int = 0
    compiled_shapes: int = 0  # of matrices, for which a kernel is cached


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by part: what is held all the time, and what each phase adds."""

    constant: Mapping[str, int]
    phases: Mapping[str, Mapping[str, int]]

    @cached_property
    def peak_phase(self) -> str:
        """The phase with the highest memory."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def peak_parts(self) -> dict[str, int]:
        """The parts of the memory at its peak."""
        return {
            n: b for n, b in (*self.constant.items(), *self.phases[self.peak_phase].items()) if b
        }

    @property
    def total(self) -> int:
        """The peak in bytes."""
        return sum(self.peak_parts.values())


def estimate_memory(
    memory_profile: MemoryProfile,
    memory_workload: MemoryWorkload,
    *,
    baseline: int = 0,
) -> MemoryEstimate:
    """Return the memory of a stage; `baseline` is that of the process without the model."""
    trainable_bytes = (
        FLOAT32_BYTES * memory_profile.num_trainable * memory_workload.trainable_adapters
    )
    constant = {
        LIBRARIES: baseline,
        "weights": memory_profile.weight_bytes,
        "adapters": memory_profile.adapter_bytes
        * (memory_workload.trainable_adapters + memory_workload.frozen_adapters),
        "other models": memory_workload.other_model_bytes,
        "compiled kernels": KERNEL_BYTES * memory_workload.compiled_shapes,
    }
    moments = {MOMENTS: NUM_ADAMW_MOMENTS * trainable_bytes}
    phases = dict(
        _phases(memory_profile, memory_workload, moments, trainable_bytes=trainable_bytes)
    )
    for name, parts in phases.items():
        if name != LOADING:  # a file is mapped, not allocated
            temporaries = sum(parts.values()) - moments[MOMENTS] - parts.get(RECOMPUTED, 0)
            fragmented = round(FRAGMENTATION * temporaries) + min(
                MAX_FIXED_FRAGMENTATION, temporaries
            )
            parts |= {"first-step buffers": FIRST_STEP_BYTES, "fragmentation": fragmented}
    return MemoryEstimate(constant, phases)


def _phases(
    memory_profile: MemoryProfile,
    memory_workload: MemoryWorkload,
    moments: Mapping[str, int],
    *,
    trainable_bytes: int,
) -> Iterable[tuple[str, dict[str, int]]]:
    yield LOADING, {"weights file": memory_profile.file_bytes}
    rows = memory_profile.training_logits.bytes_for(
        min(memory_workload.train_rows, memory_profile.max_logit_rows)
    )
    temporaries = memory_profile.training_temporaries.bytes_for(memory_workload.train_tokens)
    gradients = {"gradients": trainable_bytes}
    activations = {
        "activations": memory_profile.activations.bytes_for(memory_workload.train_tokens)
        * memory_workload.passes_per_token
    }
    recomputed = (
        round(
            RECOMPUTE_FRAGMENTATION
            * memory_profile.num_layers
            * memory_profile.recomputed_per_layer.bytes_for(memory_workload.train_tokens)
        )
        * memory_workload.passes_per_token
    )
    # Gradients of earlier micro-batches exist next to the activations of a later one. With a single
    # micro-batch, gradients grow while activations are freed.
    yield (
        "training",
        {
            **moments,
            **(gradients if memory_workload.micro_batches > 1 else {}),
            **activations,
            "logits": max(rows - temporaries, 0),
            "temporary tensors": temporaries,
            RECOMPUTED: recomputed,
        },
    )
    # The optimizer holds the square root of a moment.
    yield "optimizer step", {**moments, **gradients, "temporary tensors": trainable_bytes}
    logits_bytes = memory_profile.forward_logits.bytes_for(
        min(memory_workload.forward_rows, memory_profile.max_logit_rows)
    )
    forward_bytes = memory_profile.forward_temporaries.bytes_for(memory_workload.forward_tokens)
    sampling_bytes = (
        SAMPLING_BYTES_PER_LOGIT * memory_profile.vocab_size * memory_workload.concurrent_responses
    )
    sampling_parts = {
        "KV cache": memory_profile.kv_cache_per_token * memory_workload.kv_cache_tokens,
        "copy of the weights": memory_profile.decoder_bytes * bool(memory_workload.kv_cache_tokens),
        "temporary tensors": sampling_bytes,
    }
    yield "sampling", {**moments, **sampling_parts}
    yield "evaluation", {**moments, "temporary tensors": max(forward_bytes, logits_bytes)}


def with_gradient_checkpointing(memory_profile: MemoryProfile) -> MemoryProfile:
    """Return about the profile with gradient checkpointing, which saves only a layer's input."""
    layer_input = LinearBytes(0, memory_profile.hidden_size * memory_profile.element_bytes)
    layer_forward = memory_profile.layer_activations * FORWARD_PER_SAVED
    return replace(
        memory_profile,
        layer_activations=layer_input,
        training_temporaries=memory_profile.training_temporaries + memory_profile.layer_activations,
        recomputed_per_layer=layer_forward,
    )

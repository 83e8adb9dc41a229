"""Bytes of a stage, by part, from what was counted of its model: arithmetic alone.

`outline` counts; here it is added up. A method says what it asks of the model as a `MemoryWorkload`. The
process holds at most what always lies there and what its hungriest phase adds to it.

Two numbers are measured and not derived: what libraries take with the first step, and what the
C library cannot use again of memory that was freed (see `docs/learn/plan.md`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

FLOAT32_BYTES = 4  # bytes; what learns is float32, and so are its gradient and its moments
NUM_ADAMW_MOMENTS = 2  # of AdamW

# Glibc 2.36 does not put an aligned tensor where one of its size was freed, so that what comes and
# goes takes more than its size. Measured on 2 cores beside the same run with an allocator that
# leaves no holes: models whose tensors took 3, 60, 240, 380, 530 and 960 MB at the fullest moment
# took 20, 100, 200, 210, 250 and 440 MB more. Of what libraries take with the first step there is
# little. Recomputed, two Llamas, two Qwen2 and a GPT-2 left besides 0.19 to 0.32 of what a layer's
# forward pass makes behind in each layer, between what is kept.
FIRST_STEP_BYTES = 20_000_000
FRAGMENTATION = 0.3
MAX_FIXED_FRAGMENTATION = 80_000_000  # on top, but no more than comes and goes
RECOMPUTE_FRAGMENTATION = 0.25  # of what a recomputed layer makes

# A product of bfloat16 is compiled for each shape, and kept (oneDNN: 0.32 MB each, measured).
PRIMITIVE_BYTES = 320_000
FORWARD_PER_SAVED = 2.0  # times what a layer keeps, about what its forward pass makes
LINEAR_SHAPES, ATTENTION_SHAPES = 30, 6  # of a micro-batch, and of each length of text

# While a token is drawn, each number of its row lies there as a logit, a log-probability and one
# over the temperature (float32), and three times in 32 bits for the noise.
SAMPLING_BYTES_PER_LOGIT = 3 * 4 + 3 * 4

LOADING = "loading"
RECOMPUTE_FRAGMENTATION_NAME = "holes between recomputed layers"
MOMENTS_NAME = "optimiser's moments"


@dataclass(frozen=True, slots=True)
class LinearBytes:
    """Bytes as a linear function: of tokens, or of rows of logits."""

    fixed: float
    per_unit: float

    def bytes_for(self, count: int) -> int:
        """Return the bytes for so many."""
        return round(self.fixed + self.per_unit * count) if count else 0

    def __add__(self, other: "LinearBytes") -> "LinearBytes":
        return LinearBytes(self.fixed + other.fixed, self.per_unit + other.per_unit)

    def __mul__(self, factor: float) -> "LinearBytes":
        return LinearBytes(self.fixed * factor, self.per_unit * factor)


@dataclass(frozen=True, slots=True)
class MemoryProfile:
    """What was counted of a model and of the role that learns on it."""

    num_layers: int
    hidden_size: int
    vocab_size: int
    element_bytes: int  # bytes of one that passes between layers
    weight_bytes: int  # bytes of parameters and buffers, no adapter among them
    num_parameters: int  # of its parameters
    file_bytes: int  # bytes that are mapped while the weights are read
    num_trainable: int  # numbers that learn
    is_full: bool  # they are the weights themselves
    layer_activations: LinearBytes  # what a layer keeps for the backward pass, of tokens
    other_activations: LinearBytes  # what is kept outside of the layers, of tokens
    training_temporaries: LinearBytes  # what comes and goes besides while layers learn, of tokens
    recomputed_per_layer: (
        LinearBytes  # what the forward pass of a layer makes, if it is recomputed, of tokens
    )
    forward_temporaries: LinearBytes  # what comes and goes in a forward pass alone, of tokens
    training_logits: LinearBytes  # of rows that are learned from
    forward_logits: LinearBytes  # of rows that are looked at
    max_logit_rows: int  # of logits that are computed at once, at most
    kv_cache_per_token: int  # keys and values of one token, in all layers

    @property
    def adapter_bytes(self) -> int:
        """Bytes of the weights that learn beside the others."""
        return 0 if self.is_full else FLOAT32_BYTES * self.num_trainable

    @property
    def activations(self) -> LinearBytes:
        """What all of the model keeps for the backward pass, of tokens."""
        return self.layer_activations * self.num_layers + self.other_activations


@dataclass(frozen=True, slots=True)
class MemoryWorkload:
    """What a method asks of the model, at the most demanding moment of each phase."""

    train_tokens: int  # in a micro-batch that is learned from
    train_rows: int  # of them weighted
    micro_batches: int = 1  # micro-batches of a step
    forward_tokens: int = 0  # in a micro-batch that is only looked at
    forward_rows: int = 0
    kv_cache_tokens: int = 0  # tokens whose keys and values are kept while answering
    trainable_adapters: int = 1  # adapters that learn: a policy's and a value's are two
    frozen_adapters: int = 0  # adapters that do not learn
    passes_per_token: int = 1  # that learn from each token at once, each by a pass of its own
    other_model_bytes: int = 0  # bytes of other models in memory
    concurrent_responses: int = 0  # responses that grow at once
    compiled_shapes: int = 0  # shapes of products that libraries keep something for


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by part: what always lies there, and what each phase adds."""

    constant: Mapping[str, int]
    phases: Mapping[str, Mapping[str, int]]

    @cached_property
    def peak_phase(self) -> str:
        """The phase that takes the most."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def peak_parts(self) -> dict[str, int]:
        """What lies in memory at the peak."""
        return {
            n: b for n, b in (*self.constant.items(), *self.phases[self.peak_phase].items()) if b
        }

    @property
    def total(self) -> int:
        """The peak."""
        return sum(self.peak_parts.values())


def estimate_memory(
    memory_profile: MemoryProfile,
    memory_workload: MemoryWorkload,
    *,
    baseline: int = 0,
    fragmentation: float = FRAGMENTATION,
) -> MemoryEstimate:
    """Return the memory of a stage; `baseline` is what the process holds without the model."""
    trainable_bytes = (
        FLOAT32_BYTES * memory_profile.num_trainable * memory_workload.trainable_adapters
    )
    constant = {
        "interpreter and libraries": baseline,
        "weights": memory_profile.weight_bytes,
        "adapter": memory_profile.adapter_bytes
        * (memory_workload.trainable_adapters + memory_workload.frozen_adapters),
        "other models": memory_workload.other_model_bytes,
        "compiled products": PRIMITIVE_BYTES * memory_workload.compiled_shapes,
    }
    moments = {MOMENTS_NAME: NUM_ADAMW_MOMENTS * trainable_bytes}
    phases = dict(
        _phases(memory_profile, memory_workload, moments, trainable_bytes=trainable_bytes)
    )
    for name, parts in phases.items():
        if name != LOADING:  # a file is mapped, not allocated
            holes = parts.get(RECOMPUTE_FRAGMENTATION_NAME, 0)
            temporaries = sum(parts.values()) - moments[MOMENTS_NAME] - holes
            fragmented = round(fragmentation * temporaries) + min(
                MAX_FIXED_FRAGMENTATION, temporaries
            )
            parts |= {"libraries' first step": FIRST_STEP_BYTES, "holes in the heap": fragmented}
    return MemoryEstimate(constant, phases)


def _phases(
    memory_profile: MemoryProfile,
    memory_workload: MemoryWorkload,
    moments: Mapping[str, int],
    *,
    trainable_bytes: int,
) -> Iterable[tuple[str, dict[str, int]]]:
    yield LOADING, {"file being read": memory_profile.file_bytes}
    rows = memory_profile.training_logits.bytes_for(
        min(memory_workload.train_rows, memory_profile.max_logit_rows)
    )
    temporaries = memory_profile.training_temporaries.bytes_for(memory_workload.train_tokens)
    gradients = {"gradients": trainable_bytes}
    activations = {
        "activations": memory_profile.activations.bytes_for(memory_workload.train_tokens)
        * memory_workload.passes_per_token
    }
    holes = (
        round(
            RECOMPUTE_FRAGMENTATION
            * memory_profile.num_layers
            * memory_profile.recomputed_per_layer.bytes_for(memory_workload.train_tokens)
        )
        * memory_workload.passes_per_token
    )
    # gradients of an earlier micro-batch lie beside the activations of a later one; a step's own
    # grow while activations go
    yield (
        "learning",
        {
            **moments,
            **(gradients if memory_workload.micro_batches > 1 else {}),
            **activations,
            "logits": max(rows - temporaries, 0),
            "passing by": temporaries,
            RECOMPUTE_FRAGMENTATION_NAME: holes,
        },
    )
    yield (
        "stepping",
        {**moments, **gradients, "passing by": trainable_bytes},
    )  # the root of a moment
    logits_bytes = memory_profile.forward_logits.bytes_for(
        min(memory_workload.forward_rows, memory_profile.max_logit_rows)
    )
    forward_bytes = memory_profile.forward_temporaries.bytes_for(memory_workload.forward_tokens)
    sampling_bytes = (
        SAMPLING_BYTES_PER_LOGIT * memory_profile.vocab_size * memory_workload.concurrent_responses
    )
    sampling_parts = {
        "keys and values": memory_profile.kv_cache_per_token * memory_workload.kv_cache_tokens,
        "passing by": sampling_bytes,
    }
    yield "answering", {**moments, **sampling_parts}
    yield "evaluating", {**moments, "passing by": max(forward_bytes, logits_bytes)}


def with_gradient_checkpointing(memory_profile: MemoryProfile) -> MemoryProfile:
    """Return about the shape that recomputes each layer: only what enters a layer is kept."""
    layer_input = LinearBytes(0, memory_profile.hidden_size * memory_profile.element_bytes)
    layer_forward = memory_profile.layer_activations * FORWARD_PER_SAVED
    return replace(
        memory_profile,
        layer_activations=layer_input,
        training_temporaries=memory_profile.training_temporaries + memory_profile.layer_activations,
        recomputed_per_layer=layer_forward,
    )

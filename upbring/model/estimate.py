"""Bytes of a stage, by part, from what was counted of its model: arithmetic alone.

`outline` counts; here it is added up. A verb says what it asks of the model as a `Work`. The
process holds at most what always lies there and what its hungriest phase adds to it.

Two numbers are measured and not derived: what libraries take with the first step, and what the
C library cannot use again of memory that was freed (see `docs/learn/plan.md`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

FLOAT = 4  # bytes; what learns is float32, and so are its gradient and its moments
MOMENTS = 2  # of AdamW

# A Llama of 256 × 8 and a GPT-2 of 384 × 6, float32, on 2 cores: 90 to 110 MB, and 1.1 to 1.33
# times the tensors of the fullest moment. The C library (glibc 2.36) does not put an aligned tensor
# where one of its size was freed; recomputed layers come and go most and leave still more holes.
FIRST_STEP = 100_000_000
SLACK = 0.3

LOADING = "loading"
MOMENTS_NAME = "optimiser's moments"


@dataclass(frozen=True, slots=True)
class Line:
    """Bytes as a linear function: of tokens, or of rows of logits."""

    fixed: float
    each: float

    def at(self, count: int) -> int:
        """Return the bytes for so many."""
        return round(self.fixed + self.each * count) if count else 0

    def __add__(self, other: "Line") -> "Line":
        return Line(self.fixed + other.fixed, self.each + other.each)

    def __mul__(self, factor: float) -> "Line":
        return Line(self.fixed * factor, self.each * factor)


@dataclass(frozen=True, slots=True)
class Shape:
    """What was counted of a model and of the role that learns on it."""

    layers: int
    width: int
    vocabulary: int
    number: int  # bytes of one that passes between layers
    weights: int  # bytes of parameters and buffers, no adapter among them
    file: int  # bytes that are mapped while the weights are read
    learned: int  # numbers that learn
    is_full: bool  # they are the weights themselves
    layer: Line  # what a layer keeps for the backward pass, of tokens
    outside: Line  # what is kept outside of the layers, of tokens
    passing: Line  # what comes and goes besides while layers learn, of tokens
    looking: Line  # what comes and goes in a forward pass alone, of tokens
    logits: Line  # of rows that are learned from
    seen: Line  # of rows that are looked at
    rows: int  # of logits that are computed at once, at most
    cache: int  # keys and values of one token, in all layers

    @property
    def adapter(self) -> int:
        """Bytes of the weights that learn beside the others."""
        return 0 if self.is_full else FLOAT * self.learned

    @property
    def kept(self) -> Line:
        """What all of the model keeps for the backward pass, of tokens."""
        return self.layer * self.layers + self.outside


@dataclass(frozen=True, slots=True)
class Work:
    """What a verb asks of the model, at the most demanding moment of each phase."""

    tokens: int  # in a micro-batch that is learned from
    rows: int  # of them weighted
    parts: int = 1  # micro-batches of a step
    held_tokens: int = 0  # in a micro-batch that is only looked at
    held_rows: int = 0
    sampled: int = 0  # tokens whose keys and values are kept while answering
    learning: int = 1  # roles that learn: a policy and a value are two
    resting: int = 0  # roles that do not, besides the base: their adapters


@dataclass(frozen=True)
class Estimate:
    """Bytes by part: what always lies there, and what each phase adds."""

    always: Mapping[str, int]
    phases: Mapping[str, Mapping[str, int]]

    @cached_property
    def phase(self) -> str:
        """The phase that takes the most."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def parts(self) -> dict[str, int]:
        """What lies in memory at the peak."""
        return {n: b for n, b in (*self.always.items(), *self.phases[self.phase].items()) if b}

    @property
    def total(self) -> int:
        """The peak."""
        return sum(self.parts.values())


def estimate(shape: Shape, work: Work, *, before: int = 0, slack: float = SLACK) -> Estimate:
    """Return the memory of a stage; `before` is what the process holds without the model."""
    roles = work.learning + work.resting
    learned = FLOAT * shape.learned * work.learning
    always = {
        "interpreter and libraries": before,
        "weights": shape.weights,
        "adapter": shape.adapter * roles,
    }
    moments = {MOMENTS_NAME: MOMENTS * learned}
    phases = dict(_phases(shape, work, moments, learned=learned))
    for name, parts in phases.items():
        if name != LOADING:  # a file is mapped, not allocated
            passing = sum(parts.values()) - moments[MOMENTS_NAME]
            parts |= {"libraries' first step": FIRST_STEP, "slack": round(slack * passing)}
    return Estimate(always, phases)


def _phases(
    shape: Shape, work: Work, moments: Mapping[str, int], *, learned: int
) -> Iterable[tuple[str, dict[str, int]]]:
    yield LOADING, {"file being read": shape.file}
    rows = shape.logits.at(min(work.rows, shape.rows))
    passing = shape.passing.at(work.tokens)
    gradients = {"gradients": learned}
    activations = {"activations": shape.kept.at(work.tokens)}
    # gradients of an earlier micro-batch lie beside the activations of a later one; a step's own
    # grow while activations go
    yield (
        "learning",
        {
            **moments,
            **(gradients if work.parts > 1 else {}),
            **activations,
            "logits": max(rows - passing, 0),
            "passing by": passing,
        },
    )
    yield "stepping", {**moments, **gradients, "passing by": learned}  # the root of a moment
    seen = shape.seen.at(min(work.held_rows, shape.rows))
    looking = shape.looking.at(work.held_tokens)
    answers = shape.cache * work.sampled
    yield "evaluating", {**moments, "passing by": max(looking, seen, answers)}


def recomputed(shape: Shape) -> Shape:
    """Return about the shape that recomputes each layer: only what enters a layer is kept."""
    enters = Line(0, shape.width * shape.number)
    return replace(shape, layer=enters, passing=shape.passing + shape.layer)

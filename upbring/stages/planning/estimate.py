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

# Glibc 2.36 does not put an aligned tensor where one of its size was freed, so that what comes and
# goes takes more than its size. Measured on 2 cores beside the same run with an allocator that
# leaves no holes: models whose tensors took 3, 60, 240, 380, 530 and 960 MB at the fullest moment
# took 20, 100, 200, 210, 250 and 440 MB more. Of what libraries take with the first step there is
# little. Recomputed, two Llamas, two Qwen2 and a GPT-2 left besides 0.19 to 0.32 of what a layer's
# forward pass makes behind in each layer, between what is kept.
FIRST_STEP = 20_000_000
SLACK = 0.3
MOST_SLACK_AT_FIRST = 80_000_000  # on top, but no more than comes and goes
HOLES = 0.25  # of what a recomputed layer makes

# A product of bfloat16 is compiled for each shape, and kept (oneDNN: 0.32 MB each, measured).
PRIMITIVE = 320_000
MADE = 2.0  # times what a layer keeps, about what its forward pass makes
LINEAR_SHAPES, ATTENTION_SHAPES = 30, 6  # of a micro-batch, and of each length of text

# While a token is drawn, each number of its row lies there as a logit, a log-probability and one
# over the temperature (float32), and three times in 32 bits for the noise.
DRAWING = 3 * 4 + 3 * 4

LOADING = "loading"
HOLES_NAME = "holes between recomputed layers"
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
    numbers: int  # of its parameters
    file: int  # bytes that are mapped while the weights are read
    learned: int  # numbers that learn
    is_full: bool  # they are the weights themselves
    layer: Line  # what a layer keeps for the backward pass, of tokens
    outside: Line  # what is kept outside of the layers, of tokens
    passing: Line  # what comes and goes besides while layers learn, of tokens
    holes: Line  # what the forward pass of a layer makes, if it is recomputed, of tokens
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
    learning: int = 1  # adapters that learn: a policy's and a value's are two
    resting: int = 0  # adapters that do not learn
    voices: int = 1  # that learn from each token at once, each by a pass of its own
    others: int = 0  # bytes of other models in memory
    drawn: int = 0  # responses that grow at once
    kinds: int = 0  # shapes of products that libraries keep something for


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
    learned = FLOAT * shape.learned * work.learning
    always = {
        "interpreter and libraries": before,
        "weights": shape.weights,
        "adapter": shape.adapter * (work.learning + work.resting),
        "other models": work.others,
        "compiled products": PRIMITIVE * work.kinds,
    }
    moments = {MOMENTS_NAME: MOMENTS * learned}
    phases = dict(_phases(shape, work, moments, learned=learned))
    for name, parts in phases.items():
        if name != LOADING:  # a file is mapped, not allocated
            holes = parts.get(HOLES_NAME, 0)
            passing = sum(parts.values()) - moments[MOMENTS_NAME] - holes
            unused = round(slack * passing) + min(MOST_SLACK_AT_FIRST, passing)
            parts |= {"libraries' first step": FIRST_STEP, "holes in the heap": unused}
    return Estimate(always, phases)


def _phases(
    shape: Shape, work: Work, moments: Mapping[str, int], *, learned: int
) -> Iterable[tuple[str, dict[str, int]]]:
    yield LOADING, {"file being read": shape.file}
    rows = shape.logits.at(min(work.rows, shape.rows))
    passing = shape.passing.at(work.tokens)
    gradients = {"gradients": learned}
    activations = {"activations": shape.kept.at(work.tokens) * work.voices}
    holes = round(HOLES * shape.layers * shape.holes.at(work.tokens)) * work.voices
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
            HOLES_NAME: holes,
        },
    )
    yield "stepping", {**moments, **gradients, "passing by": learned}  # the root of a moment
    seen = shape.seen.at(min(work.held_rows, shape.rows))
    looking = shape.looking.at(work.held_tokens)
    drawing = DRAWING * shape.vocabulary * work.drawn
    answers = {"keys and values": shape.cache * work.sampled, "passing by": drawing}
    yield "answering", {**moments, **answers}
    yield "evaluating", {**moments, "passing by": max(looking, seen)}


def recomputed(shape: Shape) -> Shape:
    """Return about the shape that recomputes each layer: only what enters a layer is kept."""
    enters = Line(0, shape.width * shape.number)
    made = shape.layer * MADE
    return replace(shape, layer=enters, passing=shape.passing + shape.layer, holes=made)

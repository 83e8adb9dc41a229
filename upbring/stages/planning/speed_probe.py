"""Seconds of a stage, from two seconds of it: its first layers learn for real.

What is timed is the model's own code at its own shapes and number format, every weight 0.01: a few
trees through two layers, some rows of logits, an optimiser's step on some of the numbers, and where
a stage learns from its own responses some of their tokens. The rest is arithmetic.

Left out: reading the model, tokenising, saving; and other programs on the same machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import Tree
from upbring.model.network import Model, hidden_states
from upbring.model.roles import BASE
from upbring.model.sampling import Request, Response, Stopping, draw, sample
from upbring.model.score import logits, read_out
from upbring.settings.sampling import SampleSettings
from upbring.stages.planning.estimate import Shape
from upbring.stages.planning.memory_probe import FEW, ROLE, Manner, filled, skeleton

SECONDS = 2.0
VALUE = 0.01
MOST_NUMBERS = 4_000_000  # that an optimiser's step is timed on
ROWS = 256
WORDS = 4  # tokens of each response that are tried


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of each thing that a stage does many times."""

    token: float  # learned from, a layer
    glance: float  # a token that is only looked at, a layer
    row: float  # of logits, learned from
    seen: float  # of logits, looked at
    number: float  # that learns, a step of the optimiser
    word: float  # a token that is answered, a layer
    wave: float = 0.0  # a token of every response that grows, a layer
    draw: float = 0.0  # the same, its choice


@dataclass(frozen=True, slots=True)
class Growth:
    """How a stage draws the responses that it learns from."""

    responses: int  # that grow at once
    tokens: int  # that one has on average, its prompt among them


@dataclass(frozen=True, slots=True)
class Course:
    """How often a stage does what."""

    steps: int
    tokens: float  # in a step
    rows: float  # of them weighted
    evaluations: int = 0
    held_tokens: int = 0  # in an evaluation
    held_rows: int = 0
    words: int = 0  # that are answered one after another in an evaluation
    voices: int = 1  # that learn from each token, each by a pass of its own
    learning: int = 1  # adapters that learn
    seen_tokens: float = 0.0  # that a step only looks at, each voice's counted
    seen_rows: float = 0.0
    waves: float = 0.0  # tokens that all growing responses get one after another, for a step
    held_waves: float = 0.0  # and in an evaluation
    once_tokens: int = 0  # that are looked at before the first step
    once_rows: int = 0


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a stage will take."""

    step: float
    evaluation: float
    total: float
    once: float = 0.0  # of it before the first step


def seconds(shape: Shape, pace: Pace, course: Course) -> Seconds:
    """Return the time of a stage's steps and evaluations."""
    wave = shape.layers * pace.wave + pace.draw
    step = (
        shape.layers * pace.token * course.tokens * course.voices
        + pace.row * course.rows
        + pace.number * shape.learned * course.learning
        + shape.layers * pace.glance * course.seen_tokens
        + pace.seen * course.seen_rows
        + wave * course.waves
    )
    evaluation = (
        shape.layers * (pace.glance * course.held_tokens + pace.word * course.words)
        + pace.seen * (course.held_rows + course.words)
        + wave * course.held_waves
    )
    once = shape.layers * pace.glance * course.once_tokens + pace.seen * course.once_rows
    total = once + course.steps * step + course.evaluations * evaluation
    return Seconds(step, evaluation, total, once)


def calibrate(
    config: PretrainedConfig,
    manner: Manner,
    trees: Sequence[Tree],
    *,
    growth: Growth | None = None,
    within: float = SECONDS,
) -> Pace:
    """Return the pace of this machine at a model's own shapes, in about `within` seconds."""
    network, roles = skeleton(config, manner, layers=FEW)
    filled(network, manner.device, VALUE)
    model = Model(network, manner.compute)
    with roles.speaking(BASE if manner.is_full else ROLE):
        token, glance, word = _layers(model, trees, within=within / 2)
        row, seen = _rows(model, within=within / 4)
        wave, choice = (0.0, 0.0) if growth is None else _waves(model, growth, within=within / 4)
    learned = [p for p in network.parameters() if p.requires_grad]
    number = _optimiser(learned, within=within / 8)
    return Pace(token, glance, row, seen, number, word, wave, choice)


def _layers(model: Model, trees: Sequence[Tree], *, within: float) -> tuple[float, float, float]:
    """Return the seconds of a layer for a token learned from, one looked at, and one answered."""
    count = 1
    while True:
        batch = make_batch(trees[:count]).to(model.device)
        batches = [make_batch([each]).to(model.device) for each in trees[:1]]

        def learn() -> None:
            hidden = hidden_states(model, batch)  # noqa: B023 -- called before the next turn
            torch.autograd.backward(hidden, torch.ones_like(hidden))

        taken = _best(learn, model.device, within=0)
        if count >= len(trees) or taken * 3 > within:
            break
        count = min(len(trees), max(count + 1, int(count * within / 3 / taken)))
    taken = min(taken, _best(learn, model.device, within=within / 2))

    @torch.no_grad()
    def look() -> None:
        hidden_states(model, batch)

    first = batches[0].tokens[:1]
    one = make_batch([Tree(first.cpu().numpy(), (), "")]).to(model.device)

    @torch.no_grad()
    def answer() -> None:
        hidden_states(model, one)

    glance = _best(look, model.device, within=within / 4)
    word = _best(answer, model.device, within=within / 10)
    per = FEW * batch.num_tokens
    return taken / per, glance / per, word / FEW


def _rows(model: Model, *, within: float) -> tuple[float, float]:
    """Return the seconds of a row of logits learned from, and of one looked at."""
    width = model.network.get_output_embeddings().weight.shape[1]
    hidden = torch.full((ROWS, width), VALUE, device=model.device, requires_grad=True)
    target = torch.zeros(ROWS, dtype=torch.int64, device=model.device)

    def learn() -> None:
        torch.autograd.backward(read_out(model, hidden, target).logprobs.sum())

    @torch.no_grad()
    def look() -> None:
        read_out(model, hidden, target)

    row = _best(learn, model.device, within=within)
    return row / ROWS, _best(look, model.device, within=within / 2) / ROWS


def _waves(model: Model, growth: Growth, *, within: float) -> tuple[float, float]:
    """Return the seconds of a layer and of the draw for one more token of every response."""
    how = SampleSettings(temperature=1.0)
    count = growth.responses
    requests = [Request([0] * max(1, growth.tokens - WORDS // 2), (i,)) for i in range(count)]

    def grow(words: int) -> None:
        longest = how.model_copy(update={"max_tokens": words})
        sample(model, requests, longest, stopping=Stopping(), num_slots=count)

    device = model.device
    width = model.network.get_output_embeddings().weight.shape[1]
    hidden = torch.full((count, width), VALUE, device=device)
    rows = [(Response(i, 0), i) for i in range(count)]

    @torch.no_grad()
    def choose() -> None:
        draw(logits(model, hidden), rows, how)

    choice = _best(choose, device, within=within / 4)
    first = _best(lambda: grow(1), device, within=within / 4)
    more = _best(lambda: grow(1 + WORDS), device, within=within / 2)
    return max(0.0, (more - first) / WORDS - choice) / FEW, choice


def _optimiser(learned: Sequence[nn.Parameter], *, within: float) -> float:
    """Return the seconds that a step of AdamW takes for one number."""
    some: list[Tensor] = []
    for parameter in learned:
        if sum(t.numel() for t in some) < MOST_NUMBERS:
            some.append(parameter)
    for each in some:
        each.grad = torch.full_like(each, VALUE)
    optimiser = torch.optim.AdamW(some, foreach=True)
    count = sum(t.numel() for t in some)

    def step() -> None:
        optimiser.step()

    return _best(step, some[0].device, within=within) / count


def _best(action: Callable[[], None], device: torch.device, *, within: float) -> float:
    """Return the middle of the seconds that an action takes, tried as often as time allows."""
    action()  # what is made once, and found from then on
    found: list[float] = []
    while sum(found) < within or not found:
        began = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return sorted(found)[len(found) // 2]

"""What PPO, GRPO and RLOO ask of their model: rounds of drawing and scoring, and steps on them.

No response is known yet, so that each is taken to be as long as it may be. A reward model on the
policy's own base costs an adapter, any other its weights.

Left out: stopping early, and rewards that are rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from upbring.algorithms.rollout_batch import SLOTS
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.runs.find_model import locate
from upbring.stages.context import Cast
from upbring.stages.planning.dry_model import bottom, manner, unread_network
from upbring.stages.planning.estimate import FLOAT, MOMENTS, Work
from upbring.stages.planning.memory_probe import adapter_size
from upbring.stages.planning.speed_probe import Course, Growth
from upbring.stages.planning.workload import (
    Demand,
    evaluations,
    grouped,
    kinds,
    largest,
    looked_at,
    prompts,
    typical,
)
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_functions import GOLD, named


@dataclass(frozen=True, slots=True)
class Company:
    """Who is in memory beside the base and the policy, and who of them speaks how often."""

    has_value: bool  # as an adapter of its own
    rewards: int  # that read the tokens of a response
    resting: int  # adapters that do not learn
    others: int  # bytes of other models


@dataclass(frozen=True, slots=True)
class Round:
    """Numbers of one round, or of one evaluation."""

    tokens: int
    rows: int
    prompt_tokens: int
    responses: int
    longest: int  # prompt and response
    largest: tuple[int, int]  # tokens and rows of a micro-batch that is scored

    @classmethod
    def of(cls, trees: Sequence[Tree], budget: int, *, count: int) -> Self:
        """Return the numbers of a round of `count` prompts, some of which are given."""
        share = count / max(1, len(trees))
        return cls(
            tokens=round(share * sum(tree.num_tokens for tree in trees)),
            rows=round(share * sum(tree.num_weighted for tree in trees)),
            prompt_tokens=round(share * sum(len(tree.prompt) for tree in trees)),
            responses=round(share * sum(len(tree.branches) for tree in trees)),
            longest=max((tree.longest for tree in trees), default=0),
            largest=largest(grouped(trees, budget)),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a step learns from: rollouts, and rows that are replayed."""

    drawn: list[Tree]
    replayed: list[Tree]

    def groups(self, budget: int) -> list[list[Tree]]:
        """Return its micro-batches."""
        return [*grouped(self.drawn, budget), *grouped(self.replayed, budget)]


def from_rounds(cast: Cast, *, replay: Callable[[Cast], Stream | None]) -> Demand:
    """Return what a stage asks that learns from its own responses."""
    settings, budget = cast.settings, micro_tokens(cast)
    per_round = settings.step_examples * settings.minibatches
    per_step = settings.minibatches * settings.inner_epochs  # steps of a round
    rounds = max(1, round(settings.epochs * len(cast.dataset.main) / per_round))
    steps = settings.steps or rounds * per_step
    looked = _steps(cast, looked_at(steps), replay(cast) if settings.replay_weight > 0 else None)
    everything = [tree for step in looked for tree in step.drawn]
    round_ = Round.of(everything[:per_round], budget, count=per_round)
    held = _held_out(cast)
    judged = Round.of(held, budget, count=len(held))
    parties = company(cast)
    work = _work(cast, looked, (round_, judged), parties)
    slots = work.drawn
    looks, reads = _looks(cast, parties)
    trees = [tree for step in looked for tree in (*step.drawn, *step.replayed)]
    course = Course(
        steps=steps,
        tokens=sum(tree.num_tokens for tree in trees) / len(looked),
        rows=sum(tree.num_weighted for tree in trees) / len(looked),
        evaluations=evaluations(cast, steps),
        held_tokens=looks * judged.tokens + judged.prompt_tokens,
        held_rows=reads * judged.rows,
        words=settings.sample_tokens if prompts(cast) else 0,
        voices=work.voices,
        learning=work.learning,
        seen_tokens=(looks * round_.tokens + round_.prompt_tokens) / per_step,
        seen_rows=reads * round_.rows / per_step,
        waves=round_.responses / slots * settings.response_tokens / per_step,
        held_waves=min(1.0, judged.responses / slots) * settings.response_tokens,
    )
    mean = round_.prompt_tokens // per_round + settings.response_tokens // 2
    return Demand(work, course, typical(everything), Growth(slots, mean))


def _steps(cast: Cast, numbers: Sequence[int], mixed: Stream | None) -> list[Step]:
    """Return what some steps learn from."""
    settings, main = cast.settings, cast.dataset.main
    size = settings.step_examples
    order = Stream(main, (), settings.seed, 1.0, 1)
    found = []
    for step in numbers:
        whole, part = divmod(step, settings.minibatches * settings.inner_epochs)
        first = (whole * settings.minibatches + part % settings.minibatches) * size
        asked = [order.example(first + i) for i in range(size)]
        drawn = [answered(each, settings.samples, settings.response_tokens) for each in asked]
        found.append(Step(drawn, mixed.step(step) if mixed is not None else []))
    return found


def _work(cast: Cast, looked: Sequence[Step], rounds: Sequence[Round], parties: Company) -> Work:
    """Return the fullest moments of steps, of rounds and of evaluations."""
    settings = cast.settings
    groups = [step.groups(micro_tokens(cast)) for step in looked]
    tokens, rows = largest([group for each in groups for group in each])
    slots = max(settings.samples, min(SLOTS, rounds[0].responses))
    fixed = prompts(cast)
    answers = sum(fixed) + len(fixed) * settings.sample_tokens
    trees = [tree for step in looked for tree in step.drawn]
    return Work(
        tokens=tokens,
        rows=rows,
        parts=max(len(each) for each in groups),
        held_tokens=max(each.largest[0] for each in rounds),
        held_rows=max(each.largest[1] for each in rounds),
        sampled=max(slots * max(each.longest for each in rounds), answers),
        learning=1 + (parties.has_value and settings.tune != "full"),
        resting=parties.resting,
        voices=1 + parties.has_value,
        others=parties.others,
        drawn=slots,
        kinds=kinds(cast, trees, settings.response_tokens),  # each token makes a longer one
    )


def answered(prompt: Tree, samples: int, tokens: int) -> Tree:
    """Return a prompt with responses of some length, of which nothing is known."""
    drawn = np.zeros(tokens, np.int32)
    branch = Branch(drawn, np.ones(tokens, np.float32))
    return Tree(prompt.prompt, (branch,) * samples, prompt.key)


def company(cast: Cast) -> Company:
    """Return who takes part beside the policy."""
    settings = cast.settings
    is_full = settings.tune == "full"
    has_value = getattr(settings, "value", None) == "adapter"
    names = [named(text, "reward")[0] for text in settings.reward]
    readers = [name for name in names if name != GOLD]
    everybody = [*readers, *([settings.judge] if settings.judge not in {None, GOLD} else [])]
    strange = [folder for folder in map(_folder, everybody) if not _shares(cast, folder)]
    resting = len(everybody) - len(strange) + (settings.ema > 0)
    others = sum(_bytes(cast, folder) for folder in strange)
    if is_full:  # a second, frozen base carries the others
        network = cast.loaded.model.network
        others += sum(p.numel() for p in network.parameters()) * FLOAT
        each = FLOAT * adapter_size(network, manner(cast.settings, cast.machine))
        others += each * (resting + (2 + MOMENTS) * has_value)
    return Company(has_value, len(readers), 0 if is_full else resting, others)


def _looks(cast: Cast, parties: Company) -> tuple[int, int]:
    """Return how often each response is looked at, and how often its logits are."""
    is_trunk = getattr(cast.settings, "value", None) == "trunk"
    is_rescored = cast.machine.compute != torch.float32 or is_trunk
    reads = 1 + is_rescored  # the reference, and the policy again
    return reads + parties.has_value + parties.rewards, reads


def _held_out(cast: Cast) -> list[Tree]:
    """Return the prompts that are answered at each evaluation, with a response each."""
    settings = cast.settings
    source: Trees = cast.dataset.held_out if len(cast.dataset.held_out) else cast.dataset.main
    count = min(len(source), settings.judged_prompts)
    return [answered(source[i], 1, settings.response_tokens) for i in range(count)]


def _folder(name: str) -> Path:
    return locate(name, notice=lambda _: None)


def _shares(cast: Cast, folder: Path) -> bool:
    """Whether a model is an adapter on the policy's own base; of one to be made, that stands in."""
    is_adapter = folder == cast.loaded.base or (folder / "adapter_config.json").is_file()
    return is_adapter and bottom(folder) == cast.loaded.base


def _bytes(cast: Cast, folder: Path) -> int:
    """Return the bytes that a model takes by itself."""
    network = unread_network(folder, manner(cast.settings, cast.machine))
    count: int = sum(p.numel() for p in network.parameters())
    return count * cast.machine.compute.itemsize

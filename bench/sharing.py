"""What it gains that the branches of a prompt share its computation: by its length, and by K.

    python bench/sharing.py --prompts 50 200 800 --branches 1 2 4 9

One tree of a prompt and K responses of 100 tokens against K trees that each bring the prompt along;
a step is log-probabilities and their gradient, LoRA r = 16 on the shape `tiny`, float32, in turns.
Were each token to cost the same, the gain would be K(p + c)/(p + Kc): the bound. It can be passed
where short rows leave the processor idle, and is not reached where attention counts.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapes
import torch
from interleaved import Spread
from results import Figure, add_record_flag, record
from transformers import AutoModelForCausalLM

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import make_tree
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings
from upbring.train.devices import retain_freed_memory

FIGURE = Path(__file__).resolve().parent / "figures" / "sharing.svg"
RESPONSE = 100
TOKENS = 1600  # of a step without sharing, about


def trees(p: int, num_branches: int) -> tuple[Batch, Batch]:
    """Return the same prompts and responses: prompts shared, and each response with its own."""
    rng = np.random.default_rng(0)
    size = shapes.CONFIGURATIONS["tiny"].vocab_size
    shared, apart = [], []
    for _ in range(max(1, TOKENS // (num_branches * (p + RESPONSE)))):
        prompt = rng.integers(5, size, p)
        branches = rng.integers(5, size, (num_branches, RESPONSE))
        shared.append(make_tree(prompt, *branches))
        apart += [make_tree(prompt, branch) for branch in branches]
    return make_batch(shared), make_batch(apart)


def learner() -> tuple[Model, Roles]:
    """Return a model of the shape `tiny` with an adapter that speaks."""
    torch.manual_seed(shapes.SEED)
    shapes.CONFIGURATIONS["tiny"].max_position_embeddings = 2048
    network = AutoModelForCausalLM.from_config(
        shapes.CONFIGURATIONS["tiny"], attn_implementation=ATTENTION_NAME, dtype=torch.float32
    )
    roles = Roles(network)
    roles.add_adapter("policy", AdapterSettings(), seed=shapes.SEED)
    return Model(network), roles


def seconds(model: Model, batch: Batch) -> tuple[float, float]:
    """Return the time of a step's passes, and their loss."""
    began = time.perf_counter()
    loss = -score_tokens(model, batch).logprobs.sum()
    loss.backward()
    return time.perf_counter() - began, float(loss.detach())


def gain(model: Model, p: int, num_branches: int, *, rounds: int) -> Spread:
    """Return how many times as long the passes take without sharing, round by round."""
    pair = trees(p, num_branches)
    first, second = (seconds(model, batch)[1] for batch in pair)
    assert abs(first - second) < 1e-4 * abs(first), f"two different things: {first}, {second}"
    times = [[seconds(model, batch)[0] for batch in pair] for _ in range(rounds)]
    return Spread.of(apart / shared for shared, apart in times)


def bound(p: int, num_branches: int) -> float:
    """Return how many times as many tokens the passes hold without sharing.

    >>> bound(100, 4)
    1.6
    """
    return num_branches * (p + RESPONSE) / (p + num_branches * RESPONSE)


def draw(found: dict[int, dict[int, Spread]], prompts: Sequence[int]) -> None:
    """Save the gains as lines over the prompt's length, the bounds dashed."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- large, and only after the measuring

    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    for place, (num_branches, gains) in enumerate(found.items()):
        each, colour = [gains[p] for p in prompts], f"C{place}"
        panel.fill_between(prompts, [s.least for s in each], [s.most for s in each], alpha=0.2)
        panel.plot(
            prompts, [s.median for s in each], "o-", color=colour, label=f"K = {num_branches}"
        )
        panel.plot(
            prompts, [bound(p, num_branches) for p in prompts], "--", color=colour, alpha=0.5
        )
    panel.set_xscale("log", base=2)
    panel.set_xticks(prompts, [str(p) for p in prompts])
    panel.set_xlabel(f"tokens of the prompt; responses have {RESPONSE}")
    panel.set_title("times as fast as with a prompt for each response (dashed: bound)", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, nargs="+", default=[50, 100, 200, 400, 800])
    parser.add_argument("--branches", type=int, nargs="+", default=[1, 2, 4, 9])
    parser.add_argument("--rounds", type=int, default=5)
    add_record_flag(parser)
    given = parser.parse_args()
    retain_freed_memory()
    model, roles = learner()
    with roles.active("policy"):
        found = {
            num_branches: {
                p: gain(model, p, num_branches, rounds=given.rounds) for p in given.prompts
            }
            for num_branches in given.branches
        }
    print(f"| K | {' | '.join(f'p = {p}' for p in given.prompts)} |")
    print("|---" * (1 + len(given.prompts)) + "|")
    for num_branches, gains in found.items():
        cells = (f"{s} of {bound(p, num_branches):.2f}" for p, s in gains.items())
        print(f"| {num_branches} | {' | '.join(cells)} |")
    if given.record:
        record(
            Figure.of(
                "scaling",
                "speedup by sharing the prompt",
                spread,
                "×",
                model=f"tiny, prompt of {p} tokens, {num_branches} responses",
                precision="float32",
                n=given.rounds,
                note=f"bound {bound(p, num_branches):.2f}",
            )
            for num_branches, gains in found.items()
            for p, spread in gains.items()
        )
    draw(found, given.prompts)
    print(f"\n{FIGURE}")


if __name__ == "__main__":
    main()

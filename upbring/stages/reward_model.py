"""The reward model: the craft that learns scores from rankings, and what is told of it.

Rows that rank responses to one prompt become one tree, so that they are learned from in one step
and held out together. When all is learned an offset is measured, which travels in the contract.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from upbring.algorithms.reward_model import BradleyTerry, Criterion, PlackettLuce, Reward
from upbring.data.read.records import Comparison, Demonstration
from upbring.data.trees.merge_rankings import gather
from upbring.data.trees.tree import Tree, Trees
from upbring.errors import InputError
from upbring.export.classifier import has_classifier
from upbring.judge.reward_model import RewardModel
from upbring.model.roles import BASE
from upbring.runs.contract import Contract, read_contract
from upbring.runs.run_folder import Run
from upbring.settings.methods.reward_model import RewardSettings
from upbring.stages.context import Cast, Craft
from upbring.stages.dataset import Dataset, Notice, encode_file, make_dataset
from upbring.stages.encode import Speech
from upbring.stages.encode_dialogues import dialogue_encoder
from upbring.stages.execute import write_model
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_report import report
from upbring.stages.sft import dialogue_speech, stream
from upbring.train.algorithm import Sample
from upbring.train.optimizer import ParameterGroup

NUM_SHOWN = 3  # held-out rankings in samples.jsonl
MOST_SCORED = 1000  # trees that the offset is measured on


def ranked(
    settings: RewardSettings, speech: Speech, *, notice: Notice, poll: Callable[[], None]
) -> Dataset:
    """Return the trees of comparisons, those of one prompt as one."""
    encoder = speech.encoder
    return make_dataset(
        settings, encoder, seed=settings.seed, notice=notice, poll=poll, arrange=gather
    )


def criterion(settings: RewardSettings) -> Criterion:
    """Return the loss that the settings name."""
    if settings.loss == "bradley-terry":
        return BradleyTerry(settings.smoothing, settings.margin)
    if settings.margin > 0:
        raise InputError(
            "margin: is a pair's, and plackett-luce knows no pairs; leave it out, or set loss to "
            "bradley-terry"
        )
    return PlackettLuce(settings.smoothing)


def _prepare(cast: Cast) -> None:
    """Refuse before the first step what would fail behind the last."""
    criterion(cast.settings)
    demonstrated(cast)
    if cast.settings.epochs > 1 and cast.settings.steps is None:
        cast.say(
            f"epochs: {cast.settings.epochs:g}; reward models over-fit behind the first pass, see "
            "whether the held-out nll goes on falling"
        )
    is_whole = cast.settings.tune == "full" or not cast.loaded.is_exact
    if is_whole and not has_classifier(cast.loaded.model.network):
        raise InputError(
            "tune: transformers has no classifier for "
            f"{cast.loaded.model.network.config.model_type}, so that nobody could load the whole "
            "reward model; use --tune lora on its base"
        )


def _algorithm(cast: Cast, role: str) -> Reward:
    settings, roles, order = cast.settings, cast.loaded.roles, stream(cast)
    roles.add_head(role, cast.loaded.head, seed=settings.seed)
    return Reward(
        model=cast.loaded.model,
        head=roles.heads[role],
        speaking=partial(roles.speaking, role),
        learned=[ParameterGroup(_learned(cast, role))],
        criterion=criterion(settings),
        centring=settings.centring,
        stream=order,
        steps=settings.steps or order.num_steps,
        held_out=cast.dataset.held_out,
        micro_tokens=micro_tokens(cast),
        show=partial(_shown, cast, role),
        poll=cast.poll,
    )


def _learned(cast: Cast, role: str) -> dict[str, nn.Parameter]:
    """Return what learns: not what makes logits, which nothing asks for."""
    network = cast.loaded.model.network
    readout, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    unasked = {id(p) for p in readout.parameters()} - {id(p) for p in embeddings.parameters()}
    named = cast.loaded.roles.parameters(role)
    return {name: p for name, p in named.items() if id(p) not in unasked}


def _judge(cast: Cast, role: str, *, offset: float = 0.0) -> RewardModel:
    """Return the model that learned as a judge."""
    assert cast.speech.chat is not None, "a reward model reads dialogues"
    return RewardModel(cast.loaded, role, cast.speech.chat, offset, micro_tokens(cast))


def _shown(cast: Cast, role: str) -> list[Sample]:
    """Return the first held-out rankings, each response with its score and rank."""
    held, decode = cast.dataset.held_out, cast.speech.tokenizer.decode
    trees = [held[i] for i in range(min(NUM_SHOWN, len(held)))]
    scores = _judge(cast, role).of_trees(trees, poll=cast.poll)
    shown = []
    for tree, values in zip(trees, scores, strict=True):
        texts = [decode(branch.tokens.tolist()).strip() for branch in tree.branches]
        best_first = sorted(zip(tree.facts["rank"], values, texts, strict=True))
        told = [f"rank {rank:g}, score {score:+.3f}: {text}" for rank, score, text in best_first]
        shown.append(Sample(decode(tree.prompt.tolist()), "\n".join(told)))
    return shown


def demonstrated(cast: Cast) -> Trees:
    """Return the trees of the file of demonstrations; none where none is named."""
    settings = cast.settings
    if settings.demonstrations is None:
        return ()
    assert cast.speech.chat is not None, "a reward model reads dialogues"
    encoder = dialogue_encoder(Demonstration, cast.speech.chat, settings)
    return encode_file(settings.demonstrations, encoder, notice=cast.say, poll=cast.poll)[0]


def measured_offset(cast: Cast, role: str) -> float:
    """Return the mean score of demonstrations, else of the best held-out responses.

    With nothing held out it is that of the best responses that were learned from.
    """
    trees = demonstrated(cast) or cast.dataset.held_out
    if not len(trees):
        trees = cast.dataset.main
        cast.say("nothing is held out: the offset is the mean of responses that were learned from")
    places = np.unique(np.linspace(0, len(trees) - 1, min(MOST_SCORED, len(trees))).astype(int))
    some = [trees[int(i)] for i in places]
    scores = _judge(cast, role).of_trees(some, poll=cast.poll)
    best = [values[_is_best(tree)] for tree, values in zip(some, scores, strict=True)]
    return float(np.concatenate(best).mean())


def _is_best(tree: Tree) -> npt.NDArray[np.bool_]:
    """Return which branches are the best of their ranking, or demonstrations `[K]`."""
    is_best: npt.NDArray[np.bool_] = tree.facts.get("rank", np.ones(len(tree.branches))) == 1
    return is_best


def _write(cast: Cast, role: str, folder: Path, agreed: Contract) -> None:
    """Write the model, its head, and a contract with the offset."""
    write_model(cast, role, folder, replace(agreed, offset=measured_offset(cast, role)))


def _finish(cast: Cast, role: str, run: Run) -> None:
    """Complete the contract and tell of the model's health."""
    agreed = read_contract(run.model / "contract.json")
    run.write_contract(agreed)
    mine = role if role in cast.loaded.roles.heads else BASE  # it was folded into the base
    report(cast, _judge(cast, mine, offset=agreed.offset), run)


REWARD = Craft(
    verb="reward",
    kind="reward",
    summary="A reward model: it scores responses as people ranked them, and says nothing itself. "
    "Subtract the offset in `contract.json` from its logit: then 0 is as good as what it was shown "
    "as good.",
    speech=partial(dialogue_speech, kind=Comparison),
    algorithm=_algorithm,
    dataset=ranked,
    role="reward",
    answers=False,
    prepare=_prepare,
    write=_write,
    finish=_finish,
    next_step=lambda run: f"`upbring score FILE --model {run.path}`",
)

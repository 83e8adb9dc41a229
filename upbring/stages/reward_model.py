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

from upbring.algorithms.reward_model import BradleyTerry, Criterion, PlackettLuce, RewardAlgorithm
from upbring.data.read.records import Comparison, Demonstration
from upbring.data.trees.merge_rankings import merge_by_prompt
from upbring.data.trees.tree import Tree, Trees
from upbring.errors import InputError
from upbring.export.classifier import has_classifier
from upbring.judge.reward_model import RewardModel
from upbring.model.roles import BASE
from upbring.runs.contract import Contract, read_contract
from upbring.runs.run_folder import Run
from upbring.settings.methods.reward_model import RewardSettings
from upbring.stages.context import Method, StageContext
from upbring.stages.dataset import Dataset, Log, encode_file, make_dataset
from upbring.stages.encode import Preprocessor
from upbring.stages.encode_dialogues import make_dialogue_encoder
from upbring.stages.execute import write_model
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_report import write_report
from upbring.stages.sft import make_preprocessor, make_stream
from upbring.train.algorithm import EvalSample
from upbring.train.optimizer import ParameterGroup

NUM_SAMPLE_RANKINGS = 3  # held-out rankings in samples.jsonl
MAX_OFFSET_TREES = 1000  # trees that the offset is measured on


def make_ranking_dataset(
    settings: RewardSettings, preprocessor: Preprocessor, *, log: Log, poll: Callable[[], None]
) -> Dataset:
    """Return the trees of comparisons, those of one prompt as one."""
    encoder = preprocessor.encoder
    return make_dataset(
        settings, encoder, seed=settings.seed, log=log, poll=poll, transform=merge_by_prompt
    )


def make_criterion(settings: RewardSettings) -> Criterion:
    """Return the loss that the settings name."""
    if settings.loss == "bradley-terry":
        return BradleyTerry(settings.label_smoothing, settings.margin)
    if settings.margin > 0:
        raise InputError(
            "margin: is a pair's, and plackett-luce knows no pairs; leave it out, or set loss to "
            "bradley-terry"
        )
    return PlackettLuce(settings.label_smoothing)


def _check_settings(context: StageContext) -> None:
    """Refuse before the first step what would fail behind the last."""
    make_criterion(context.settings)
    read_demonstrations(context)
    if context.settings.epochs > 1 and context.settings.steps is None:
        context.log(
            f"epochs: {context.settings.epochs:g}; reward models over-fit behind the first pass, see "
            "whether the held-out nll goes on falling"
        )
    writes_full_model = context.settings.tune == "full" or not context.loaded.has_exact_factors
    if writes_full_model and not has_classifier(context.loaded.model.network):
        raise InputError(
            "tune: transformers has no classifier for "
            f"{context.loaded.model.network.config.model_type}, so that nobody could load the whole "
            "reward model; use --tune lora on its base"
        )


def _make_algorithm(context: StageContext, role: str) -> RewardAlgorithm:
    settings, roles, tree_stream = context.settings, context.loaded.roles, make_stream(context)
    roles.add_head(role, context.loaded.head, seed=settings.seed)
    return RewardAlgorithm(
        model=context.loaded.model,
        head=roles.heads[role],
        active=partial(roles.active, role),
        trainable=[ParameterGroup(_trainable_parameters(context, role))],
        criterion=make_criterion(settings),
        centering=settings.center_rewards_coef,
        stream=tree_stream,
        steps=settings.steps or tree_stream.num_steps,
        held_out=context.dataset.held_out,
        micro_tokens=micro_tokens(context),
        sample_rankings=partial(_sample_rankings, context, role),
        poll=context.poll,
    )


def _trainable_parameters(context: StageContext, role: str) -> dict[str, nn.Parameter]:
    """Return what learns: not what makes logits, which nothing asks for."""
    network = context.loaded.model.network
    lm_head, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    head_only = {id(p) for p in lm_head.parameters()} - {id(p) for p in embeddings.parameters()}
    role_parameters = context.loaded.roles.parameters(role)
    return {name: p for name, p in role_parameters.items() if id(p) not in head_only}


def _make_reward_model(context: StageContext, role: str, *, offset: float = 0.0) -> RewardModel:
    """Return the model that learned as a judge."""
    assert context.preprocessor.chat is not None, "a reward model reads dialogues"
    return RewardModel(
        context.loaded, role, context.preprocessor.chat, offset, micro_tokens(context)
    )


def _sample_rankings(context: StageContext, role: str) -> list[EvalSample]:
    """Return the first held-out rankings, each response with its score and rank."""
    held_out, decode = context.dataset.held_out, context.preprocessor.tokenizer.decode
    trees = [held_out[i] for i in range(min(NUM_SAMPLE_RANKINGS, len(held_out)))]
    scores = _make_reward_model(context, role).score_trees(trees, poll=context.poll)
    samples = []
    for tree, values in zip(trees, scores, strict=True):
        texts = [decode(branch.tokens.tolist()).strip() for branch in tree.branches]
        best_first = sorted(zip(tree.per_branch["rank"], values, texts, strict=True))
        lines = [f"rank {rank:g}, score {score:+.3f}: {text}" for rank, score, text in best_first]
        samples.append(EvalSample(decode(tree.prompt.tolist()), "\n".join(lines)))
    return samples


def read_demonstrations(context: StageContext) -> Trees:
    """Return the trees of the file of demonstrations; none where none is named."""
    settings = context.settings
    if settings.demonstrations is None:
        return ()
    assert context.preprocessor.chat is not None, "a reward model reads dialogues"
    encoder = make_dialogue_encoder(Demonstration, context.preprocessor.chat, settings)
    return encode_file(settings.demonstrations, encoder, log=context.log, poll=context.poll)[0]


def measure_offset(context: StageContext, role: str) -> float:
    """Return the mean score of demonstrations, else of the best held-out responses.

    With nothing held out it is that of the best responses that were learned from.
    """
    trees = read_demonstrations(context) or context.dataset.held_out
    if not len(trees):
        trees = context.dataset.main
        context.log(
            "nothing is held out: the offset is the mean of responses that were learned from"
        )
    indices = np.unique(
        np.linspace(0, len(trees) - 1, min(MAX_OFFSET_TREES, len(trees))).astype(int)
    )
    subset = [trees[int(i)] for i in indices]
    scores = _make_reward_model(context, role).score_trees(subset, poll=context.poll)
    best_scores = [values[_is_best(tree)] for tree, values in zip(subset, scores, strict=True)]
    return float(np.concatenate(best_scores).mean())


def _is_best(tree: Tree) -> npt.NDArray[np.bool_]:
    """Return which branches are the best of their ranking, or demonstrations `[K]`."""
    is_best: npt.NDArray[np.bool_] = tree.per_branch.get("rank", np.ones(len(tree.branches))) == 1
    return is_best


def _write_with_offset(context: StageContext, role: str, folder: Path, contract: Contract) -> None:
    """Write the model, its head, and a contract with the offset."""
    write_model(context, role, folder, replace(contract, offset=measure_offset(context, role)))


def _finish(context: StageContext, role: str, run: Run) -> None:
    """Complete the contract and tell of the model's health."""
    contract = read_contract(run.model / "contract.json")
    run.write_contract(contract)
    trained_role = (
        role if role in context.loaded.roles.heads else BASE
    )  # it was folded into the base
    write_report(context, _make_reward_model(context, trained_role, offset=contract.offset), run)


REWARD = Method(
    name="reward",
    kind="reward",
    summary="A reward model: it scores responses as people ranked them, and says nothing itself. "
    "Subtract the offset in `contract.json` from its logit: then 0 is as good as what it was shown "
    "as good.",
    make_preprocessor=partial(make_preprocessor, kind=Comparison),
    make_algorithm=_make_algorithm,
    load_dataset=make_ranking_dataset,
    role="reward",
    samples_held_out_prompts=False,
    check_settings=_check_settings,
    write_model=_write_with_offset,
    finish=_finish,
    next_command=lambda run: f"`upbring score FILE --model {run.path}`",
)

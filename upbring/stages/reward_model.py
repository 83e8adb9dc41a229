"""Reward model training on rankings, and the report on the finished model.

Rows that rank responses to the same prompt become one tree, so that they are in the same step and
are held out together. After training an offset is measured and stored in the contract.
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
from upbring.stages.context import Implementation, StageContext
from upbring.stages.dataset import Dataset, Log, encode_file, make_dataset
from upbring.stages.encode import Preprocessor
from upbring.stages.encode_dialogues import make_dialogue_encoder
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_report import write_report
from upbring.stages.run_stage import write_model
from upbring.stages.sft import make_preprocessor, make_stream
from upbring.tracking import Track
from upbring.train.algorithm import EvalSample
from upbring.train.optimizer import ParameterGroup

NUM_SAMPLE_RANKINGS = 3  # held-out rankings in samples.jsonl
MAX_OFFSET_TREES = 1000  # trees that the offset is measured on


def make_ranking_dataset(
    settings: RewardSettings,
    preprocessor: Preprocessor,
    *,
    log: Log,
    poll: Callable[[], None],
    track: Track,
) -> Dataset:
    """Return the trees of comparisons, one tree per prompt."""
    encoder = preprocessor.encoder
    return make_dataset(
        settings,
        encoder,
        seed=settings.seed,
        log=log,
        poll=poll,
        track=track,
        transform=merge_by_prompt,
    )


def make_criterion(settings: RewardSettings) -> Criterion:
    """Return the loss that the settings name."""
    if settings.loss == "bradley-terry":
        return BradleyTerry(settings.label_smoothing, settings.margin)
    if settings.margin > 0:
        raise InputError(
            "margin: needs pairs, and plackett-luce has none; leave margin out, or set loss to "
            "bradley-terry"
        )
    return PlackettLuce(settings.label_smoothing)


def _check_settings(context: StageContext) -> None:
    """Refuse before the first step what would fail after the last."""
    make_criterion(context.settings)
    read_demonstrations(context)
    if context.settings.epochs > 1 and context.settings.steps is None:
        context.log(
            f"epochs: {context.settings.epochs:g}; reward models often overfit after the first "
            "epoch: check that the held-out nll keeps falling"
        )
    writes_full_model = context.settings.tune == "full" or not context.loaded.has_exact_factors
    network = context.loaded.model.network
    if writes_full_model and not has_classifier(network):
        raise InputError(
            f"tune: transformers has no sequence classifier for {network.config.model_type}, so "
            "that a full reward model could not be loaded; use --tune lora on its base"
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
        track=context.track,
    )


def _trainable_parameters(context: StageContext, role: str) -> dict[str, nn.Parameter]:
    """Return the trainable parameters, without an LM head, which a reward model does not use."""
    network = context.loaded.model.network
    lm_head, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    head_only = {id(p) for p in lm_head.parameters()} - {id(p) for p in embeddings.parameters()}
    role_parameters = context.loaded.roles.parameters(role)
    return {name: p for name, p in role_parameters.items() if id(p) not in head_only}


def _make_reward_model(context: StageContext, role: str, *, offset: float = 0.0) -> RewardModel:
    """Return the trained role as a reward model."""
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
    """Return the trees of the file of demonstrations; empty if there is none."""
    settings = context.settings
    if settings.demonstrations is None:
        return ()
    assert context.preprocessor.chat is not None, "a reward model reads dialogues"
    encoder = make_dialogue_encoder(Demonstration, context.preprocessor.chat, settings)
    log, poll, track = context.log, context.poll, context.track
    return encode_file(settings.demonstrations, encoder, log=log, poll=poll, track=track)[0]


def measure_offset(context: StageContext, role: str) -> float:
    """Return the mean score of the demonstrations or, without them, of the best responses.

    These are the best held-out responses; without held-out rows, the best training responses.
    """
    trees = read_demonstrations(context) or context.dataset.held_out
    if not len(trees):
        trees = context.dataset.main
        context.log("nothing is held out: the offset is the mean score of training responses")
    indices = np.unique(
        np.linspace(0, len(trees) - 1, min(MAX_OFFSET_TREES, len(trees))).astype(int)
    )
    subset = [trees[int(i)] for i in indices]
    reward_model = _make_reward_model(context, role)
    scores = reward_model.score_trees(subset, poll=context.poll, track=context.track)
    best_scores = [values[_is_best(tree)] for tree, values in zip(subset, scores, strict=True)]
    return float(np.concatenate(best_scores).mean())


def _is_best(tree: Tree) -> npt.NDArray[np.bool_]:
    """Return which branches are the best of their ranking, or are demonstrations `[K]`."""
    is_best: npt.NDArray[np.bool_] = tree.per_branch.get("rank", np.ones(len(tree.branches))) == 1
    return is_best


def _write_with_offset(context: StageContext, role: str, folder: Path, contract: Contract) -> None:
    """Write the model, its head, and a contract with the offset."""
    write_model(context, role, folder, replace(contract, offset=measure_offset(context, role)))


def _finish(context: StageContext, role: str, run: Run) -> None:
    """Complete the contract, and report on the model's quality."""
    contract = read_contract(run.model / "contract.json")
    run.write_contract(contract)
    # writing a full model merges the role into the base
    trained_role = role if role in context.loaded.roles.heads else BASE
    write_report(context, _make_reward_model(context, trained_role, offset=contract.offset), run)


REWARD = Implementation(
    summary="A reward model: it scores responses as people ranked them, and generates no text. "
    "Subtract the offset in `contract.json` from its logit: 0 is then the mean score of good "
    "responses.",
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

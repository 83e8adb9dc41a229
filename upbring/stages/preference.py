"""DPO, IPO, KTO, ORPO and SimPO: training on preferences without a reward model.

The algorithms define the losses. This module encodes comparisons and labels as trees, attaches the
reference log-probabilities, and samples responses to held-out prompts to measure the KL divergence
to the reference.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upbring.algorithms.dpo import Dpo
from upbring.algorithms.ipo import Ipo
from upbring.algorithms.kto import Kto
from upbring.algorithms.orpo import Orpo
from upbring.algorithms.preference import PreferenceAlgorithm
from upbring.algorithms.simpo import Simpo
from upbring.data.chat.chat import Chat
from upbring.data.read.detect_format import detect_format
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Label
from upbring.data.trees.stream import MixtureSource
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Implementation, StageContext
from upbring.stages.dataset import Dataset, Encoder, Log, TreeSubset, make_dataset
from upbring.stages.encode import Preprocessor
from upbring.stages.encode_dialogues import make_dialogue_encoder
from upbring.stages.provenance import micro_tokens
from upbring.stages.reference_kl import make_reference_kl_metrics
from upbring.stages.reference_logprobs import (
    Array,
    TreesWithTokenMask,
    few_used_trees,
    make_reference_logprobs,
)
from upbring.stages.sample_prompts import make_prompt_sampler
from upbring.stages.sft import make_preprocessor, make_stream
from upbring.tracking import Track
from upbring.train import processes
from upbring.train.optimizer import ParameterGroup

AlgorithmFields = dict[str, Any]


def first_readable_encoder(
    kinds: tuple[RecordType, ...], chat: Chat, settings: DialogueSettings
) -> Encoder:
    """Return an encoder that reads each file as the first of `kinds` that fits its rows."""
    encoders = [make_dialogue_encoder(kind, chat, settings) for kind in kinds]

    def encode(path: Path, log: Log) -> tuple[Iterable[Tree], str]:
        for kind, encoder in zip(kinds[:-1], encoders[:-1], strict=True):
            try:
                detect_format(path, kind, format=settings.format)
            except InputError:
                continue
            return encoder.encode(path, log)
        return encoders[-1].encode(path, log)

    identity = tuple(part for encoder in encoders for part in encoder.identity)
    return Encoder(encode, identity, is_cacheable=settings.skip_bad is None)


def make_preference_dataset(
    settings: PreferenceSettings,
    preprocessor: Preprocessor,
    *,
    log: Log,
    poll: Callable[[], None],
    track: Track,
    kinds: tuple[RecordType, ...] = (Comparison,),
) -> Dataset:
    """Return the trees of preferences; files of `mix` may be demonstrations."""
    assert preprocessor.chat is not None, "preferences are dialogues"
    return make_dataset(
        settings,
        first_readable_encoder(kinds, preprocessor.chat, settings),
        seed=settings.seed,
        log=log,
        poll=poll,
        track=track,
        mix_encoder=first_readable_encoder((*kinds, Demonstration), preprocessor.chat, settings),
    )


@dataclass(frozen=True, eq=False)
class KtoTrees:
    """Trees of good and bad responses; the last branch is the response to the next tree's prompt.

    The best response of a comparison is good and the worst is bad. The mismatched response serves
    to estimate the KL divergence; it is truncated where the tree would exceed `max_length`.
    """

    trees: Trees
    max_length: int

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        item = _label_best_and_worst(self.trees[index])
        if "good" not in item.per_branch:
            return item
        next_response = self.trees[(index + 1) % len(self.trees)].branches[0]
        max_response_length = self.max_length - len(item.prompt)
        mismatched = Branch(
            next_response.tokens[:max_response_length], next_response.weight[:max_response_length]
        )
        facts = {name: np.append(values, np.nan) for name, values in item.per_branch.items()}
        return replace(item, branches=(*item.branches, mismatched), per_branch=facts)


def _label_best_and_worst(item: Tree) -> Tree:
    """Return a comparison's best branch, labeled good, and its worst, labeled bad."""
    ranks = item.per_branch.get("rank")
    if ranks is None:
        return item
    best_and_worst = (item.branches[int(np.argmin(ranks))], item.branches[int(np.argmax(ranks))])
    facts = {"good": np.array([1.0, 0.0])}
    if "weight" in item.per_branch:
        facts["weight"] = item.per_branch["weight"][:2]  # that of the row
    return replace(item, branches=best_and_worst, per_branch=facts)


def _drop_ties(trees: Trees, *, log: Log) -> Trees:
    """Return trees without the comparisons that are ties only, and log how many these are."""
    facts = (trees[i].per_branch for i in range(len(trees)))
    is_tie = np.array(["rank" in f and len(set(f["rank"].tolist())) == 1 for f in facts], bool)
    if not is_tie.any():
        return trees
    ties = format_count(int(is_tie.sum()), "comparison", total=len(trees), verb="is")
    log(f"{ties} tied, with neither a good nor a bad response, and dropped")
    return TreeSubset(trees, np.flatnonzero(~is_tie))


def _report_probabilities(trees: Trees, *, log: Log) -> None:
    """Log how many comparisons have a soft label, which single labels cannot have."""
    rows = [trees[i].per_branch.get("probability", np.full(1, np.nan)) for i in range(len(trees))]
    count = sum(bool(row[0] < 1) for row in rows)
    if count:
        comparisons = format_count(count, "comparison", total=len(trees))
        log(
            f"kto cannot use the probability of {comparisons}: the better response counts as "
            "good, the worse as bad; dpo and reward use it"
        )


def make_preference_algorithm(
    context: StageContext,
    role: str,
    *,
    algorithm_class: type[PreferenceAlgorithm],
    method_fields: Callable[[StageContext], AlgorithmFields],
) -> PreferenceAlgorithm:
    """Return the algorithm of a stage, on trees with their reference log-probabilities."""
    dataset = _with_reference_logprobs(context)
    tree_stream = make_stream(replace(context, dataset=dataset))
    return algorithm_class(
        model=context.loaded.model,
        active=partial(context.loaded.roles.active, role),
        trainable=[ParameterGroup(context.loaded.roles.parameters(role))],
        stream=tree_stream,
        steps=context.settings.steps or tree_stream.num_steps,
        held_out=dataset.held_out,
        micro_tokens=micro_tokens(context),
        sample_responses=make_prompt_sampler(context, role),
        poll=context.poll,
        track=context.track,
        log=context.log,
        reference_kl=make_reference_kl_metrics(context, role),
        mix_weight=context.settings.mix_weight,
        **method_fields(context),
    )


def _with_reference_logprobs(context: StageContext) -> Dataset:
    """Return the dataset with reference log-probabilities, where the method needs them.

    Held-out rows always get them, to measure how far the chosen responses moved. If the steps use
    few of the rows, only those get them; otherwise whole files, which later runs use too.
    """
    reference = make_reference_logprobs(context)
    has_reference = context.implementation.has_reference
    dataset = _as_compared(context)
    used = few_used_trees(replace(context, dataset=dataset)) if has_reference else None
    control_tokens = frozenset(
        (
            *context.preprocessor.tokenizer.special_token_ids.values(),
            *context.preprocessor.stop_token_ids,
        )
    )
    is_masked = getattr(context.settings, "mask_shared_tokens", False)

    def annotate(trees: Trees, indices: Array | None = None, *, is_held_out: bool = False) -> Trees:
        if not _are_compared(trees):
            return trees
        if indices is not None:
            trees = reference.annotate_some(trees, indices)
        elif has_reference and used is None:
            trees = reference.annotate_files(trees)
        elif has_reference or is_held_out:
            trees = reference.annotate(trees)
        return TreesWithTokenMask(trees, control_tokens) if is_masked else trees

    all_of_each: list[Array | None] = [None] * (1 + len(dataset.mixed))
    main, *mixed = used or all_of_each
    with processes.main_process_first():
        return replace(
            dataset,
            main=annotate(dataset.main, main),
            mixed=tuple(
                MixtureSource(annotate(each.trees, indices), each.share)
                for each, indices in zip(dataset.mixed, mixed, strict=True)
            ),
            held_out=annotate(dataset.held_out, is_held_out=True),
        )


def _as_compared(context: StageContext) -> Dataset:
    """Return the dataset as the method compares its rows."""

    def convert(trees: Trees) -> Trees:
        if context.method.learns_from != "labels" or not _are_compared(trees):
            return trees
        _report_probabilities(trees, log=context.log)
        return KtoTrees(_drop_ties(trees, log=context.log), max_tree_length(context))

    dataset = context.dataset
    return replace(
        dataset,
        main=convert(dataset.main),
        mixed=tuple(MixtureSource(convert(each.trees), each.share) for each in dataset.mixed),
        held_out=convert(dataset.held_out),
    )


def _are_compared(trees: Trees) -> bool:
    """Whether the trees have responses to compare; demonstrations have not."""
    return not len(trees) or bool(trees[0].per_branch)


def max_tree_length(context: StageContext) -> int:
    """Return the maximum number of tokens of a prompt and a response together."""
    limit, max_length = context.loaded.model.max_positions, int(context.settings.max_length)
    return max_length if limit is None else min(max_length, limit)


def _check_dpo_settings(context: StageContext) -> None:
    if context.settings.soft_labels == "gdpo" and context.settings.comparisons == "list":
        raise InputError(
            "soft_labels: gdpo scales the margins of pairs, and comparisons is list; set "
            "comparisons to all or extremes, or soft_labels to cross-entropy"
        )


def _dpo_fields(context: StageContext) -> AlgorithmFields:
    names = ("beta", "label_smoothing", "soft_labels", "comparisons", "nll_weight")
    return {
        **settings_fields(context, *names),
        "is_length_normalized": context.settings.length_normalized,
    }


def _ipo_fields(context: StageContext) -> AlgorithmFields:
    return {
        **settings_fields(context, "beta", "comparisons", "nll_weight"),
        "is_length_normalized": context.settings.length_normalized,
    }


def _labels_and_weights(trees: Trees) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the label of each response of all trees, and its weight."""
    facts = [_label_best_and_worst(trees[i]).per_branch for i in range(len(trees))]
    labels = [each.get("good", np.empty(0)) for each in facts]
    weights = [
        each.get("weight", np.ones(len(good))) for each, good in zip(facts, labels, strict=True)
    ]
    return np.concatenate(labels), np.concatenate(weights)


def _kto_fields(context: StageContext) -> AlgorithmFields:
    """Return the fields of KTO; log if good and bad responses are far from balance."""
    fields = settings_fields(context, "beta", "desirable_weight", "undesirable_weight")
    trees = context.dataset.main
    all_labels, weights = _labels_and_weights(trees)
    # a tie counts as one good and one bad response, which hardly changes the ratio
    num_good, num_bad = (float(weights[all_labels == label].sum()) for label in (1, 0))
    weighted_bad = num_bad * fields["undesirable_weight"]
    ratio = num_good * fields["desirable_weight"] / max(weighted_bad, 1e-9)
    if not 1 <= ratio <= 4 / 3:  # §4.2, equation 9
        context.log(
            f"kto: {num_good:g} good and {num_bad:g} bad responses: desirable_weight × good is "
            f"{ratio:.3g} of undesirable_weight × bad, and 1 to 4/3 is recommended; with "
            f"undesirable_weight {fields['undesirable_weight']:g}, set desirable_weight to "
            f"{weighted_bad / max(num_good, 1):.3g}"
        )
    return fields


def _orpo_fields(context: StageContext) -> AlgorithmFields:
    return settings_fields(context, "beta", "comparisons")


def _simpo_fields(context: StageContext) -> AlgorithmFields:
    return settings_fields(context, "beta", "gamma", "label_smoothing", "comparisons", "nll_weight")


def settings_fields(context: StageContext, *names: str) -> AlgorithmFields:
    """Return the settings of these names, for the algorithm's fields of the same names."""
    return {name: getattr(context.settings, name) for name in names}


def preference_implementation(
    algorithm_class: type[PreferenceAlgorithm],
    method_fields: Callable[[StageContext], AlgorithmFields],
    *,
    kinds: tuple[RecordType, ...] = (Comparison,),
    has_reference: bool = True,
    check_settings: Callable[[StageContext], None] = lambda _: None,
) -> Implementation:
    """Return the implementation of a method that trains on preferences without a reward model.

    `method_fields` returns the algorithm's own fields; with `has_reference=False` no reference
    log-probabilities are computed for training.
    """
    return Implementation(
        summary=f"A model trained on preferences ({algorithm_class.name.upper()}).",
        make_preprocessor=partial(make_preprocessor, kind=kinds[0]),
        load_dataset=partial(make_preference_dataset, kinds=kinds),
        make_algorithm=partial(
            make_preference_algorithm,
            algorithm_class=algorithm_class,
            method_fields=method_fields,
        ),
        has_reference=has_reference,
        check_settings=check_settings,
    )


DPO = preference_implementation(Dpo, _dpo_fields, check_settings=_check_dpo_settings)
IPO = preference_implementation(Ipo, _ipo_fields)
KTO = preference_implementation(Kto, _kto_fields, kinds=(Comparison, Label))
ORPO = preference_implementation(Orpo, _orpo_fields, has_reference=False)
SIMPO = preference_implementation(Simpo, _simpo_fields, has_reference=False)

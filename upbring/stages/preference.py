"""DPO and its kin: the crafts that learn from preferences without a reward model.

What differs between them is said by their algorithms. Here comparisons and labels become trees, the
reference's log-probabilities are attached, and held-out prompts are answered to see how far the
policy went.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from upbring.algorithms.dpo import Dpo
from upbring.algorithms.ipo import Ipo
from upbring.algorithms.kto import Kto
from upbring.algorithms.orpo import Orpo
from upbring.algorithms.preference import Preferring
from upbring.algorithms.simpo import Simpo
from upbring.data.chat.chat import Chat
from upbring.data.read.detect_format import recognise
from upbring.data.read.format_table import Kind
from upbring.data.read.records import Comparison, Demonstration, Label
from upbring.data.trees.stream import Source
from upbring.data.trees.tree import Branch, Tree, Trees
from upbring.errors import InputError
from upbring.settings.methods.preference import PreferringSettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Cast, Craft
from upbring.stages.dataset import Dataset, Encoder, Notice, Selected, make_dataset
from upbring.stages.encode import Speech
from upbring.stages.encode_dialogues import dialogue_encoder
from upbring.stages.planning.workload import Demand, from_rows
from upbring.stages.provenance import micro_tokens
from upbring.stages.reference_kl import NUM_PROMPTS, drift
from upbring.stages.reference_logprobs import Unshared, reference_of
from upbring.stages.sample_prompts import answering
from upbring.stages.sft import dialogue_speech, stream
from upbring.train import processes
from upbring.train.optimizer import ParameterGroup

Fields = dict[str, Any]


def any_of(kinds: tuple[Kind, ...], chat: Chat, settings: DialogueSettings) -> Encoder:
    """Return how a file's rows become trees, as the first of `kinds` that they can be read as."""
    encoders = [dialogue_encoder(kind, chat, settings) for kind in kinds]

    def trees(path: Path, notice: Notice) -> tuple[Iterable[Tree], str]:
        for kind, encoder in zip(kinds[:-1], encoders[:-1], strict=True):
            try:
                recognise(path, kind, format=settings.format)
            except InputError:
                continue
            return encoder.trees(path, notice)
        return encoders[-1].trees(path, notice)

    what = tuple(part for encoder in encoders for part in encoder.identity)
    return Encoder(trees, what, is_kept=settings.skip_bad is None)


def preferences(
    settings: PreferringSettings,
    speech: Speech,
    *,
    notice: Notice,
    poll: Callable[[], None],
    kinds: tuple[Kind, ...] = (Comparison,),
) -> Dataset:
    """Return the trees of preferences; demonstrations may be mixed in."""
    assert speech.chat is not None, "preferences are dialogues"
    return make_dataset(
        settings,
        any_of(kinds, speech.chat, settings),
        seed=settings.seed,
        notice=notice,
        poll=poll,
        mix_encoder=any_of((*kinds, Demonstration), speech.chat, settings),
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """Trees of good and bad responses, and last the response to the next tree's prompt.

    Of a comparison the best response is good and the worst is bad. The response to another prompt
    is cut where the two would be longer than `longest`; it is there to estimate a divergence.
    """

    trees: Trees
    longest: int

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, index: int) -> Tree:
        item = _labelled(self.trees[index])
        if "good" not in item.facts:
            return item
        other = self.trees[(index + 1) % len(self.trees)].branches[0]
        room = self.longest - len(item.prompt)
        cut = Branch(other.tokens[:room], other.weight[:room])
        good = np.append(item.facts["good"], np.nan)
        return replace(item, branches=(*item.branches, cut), facts={"good": good})


def _labelled(item: Tree) -> Tree:
    """Return a comparison's best response as good and its worst as bad, without those between."""
    ranks = item.facts.get("rank")
    if ranks is None:
        return item
    kept = (item.branches[int(np.argmin(ranks))], item.branches[int(np.argmax(ranks))])
    return replace(item, branches=kept, facts={"good": np.array([1.0, 0.0])})


def _decided(trees: Trees, *, notice: Notice) -> Trees:
    """Return trees without the comparisons that are ties only, and tell how many these are."""
    facts = (trees[i].facts for i in range(len(trees)))
    is_tie = np.array(["rank" in f and len(set(f["rank"].tolist())) == 1 for f in facts], bool)
    if not is_tie.any():
        return trees
    notice(f"{is_tie.sum()} of {len(trees)} comparisons are ties, which say neither good nor bad")
    return Selected(trees, np.flatnonzero(~is_tie))


def preferring(
    cast: Cast,
    role: str,
    *,
    kind: type[Preferring],
    own: Callable[[Cast], Fields],
    has_reference: bool = True,
) -> Preferring:
    """Return the algorithm of a stage, on trees with all that it needs to know of them."""
    dataset = _prepared(cast, has_reference=has_reference)
    order = stream(replace(cast, dataset=dataset))
    return kind(
        model=cast.loaded.model,
        speaking=partial(cast.loaded.roles.speaking, role),
        learned=[ParameterGroup(cast.loaded.roles.parameters(role))],
        stream=order,
        steps=cast.settings.steps or order.num_steps,
        held_out=dataset.held_out,
        micro_tokens=micro_tokens(cast),
        answer=answering(cast, role),
        poll=cast.poll,
        say=cast.say,
        divergence=drift(cast, role),
        mix_weight=cast.settings.mix_weight,
        **own(cast),
    )


def _prepared(cast: Cast, *, has_reference: bool) -> Dataset:
    """Return the dataset with what the reference thinks of it, where it is asked.

    Of held-out rows it is always asked: how far preferred responses moved is to be seen.
    """
    reference = reference_of(cast)
    settings, made = cast.settings, cast.dataset
    controls = frozenset((*cast.speech.tokenizer.specials.values(), *cast.speech.stops))

    def prepared(trees: Trees, *, is_held_out: bool = False) -> Trees:
        if len(trees) and not trees[0].facts:
            return trees  # demonstrations, which nobody compares
        if cast.craft.verb == "kto":
            trees = Judged(_decided(trees, notice=cast.say), _longest(cast))
        if has_reference:
            trees = reference.of(trees)
        elif is_held_out:
            trees = reference.only(trees)
        is_masked = getattr(settings, "mask_shared_tokens", False)
        return Unshared(trees, controls) if is_masked else trees

    with processes.first_goes_ahead():
        return replace(
            made,
            main=prepared(made.main),
            mixed=tuple(Source(prepared(each.trees), each.share) for each in made.mixed),
            held_out=prepared(made.held_out, is_held_out=True),
        )


def _longest(cast: Cast) -> int:
    limit, asked = cast.loaded.model.longest, int(cast.settings.max_length)
    return asked if limit is None else min(asked, limit)


def _dpo(cast: Cast) -> Fields:
    return {
        **_of(cast, "beta", "label_smoothing", "comparisons", "nll_weight"),
        "is_normalised": cast.settings.length_normalised,
    }


def _ipo(cast: Cast) -> Fields:
    return {
        **_of(cast, "beta", "comparisons", "nll_weight"),
        "is_normalised": cast.settings.length_normalised,
    }


def _kto(cast: Cast) -> Fields:
    """Return the weights of good and bad responses, and say so if they are far from balance."""
    fields = _of(cast, "beta", "good_weight", "bad_weight")
    trees = cast.dataset.main
    found = [_labelled(trees[i]).facts.get("good", np.empty(0)) for i in range(len(trees))]
    every = np.concatenate(found)  # of a tie one is good and one bad, which is no matter here
    good, bad = float((every == 1).sum()), float((every == 0).sum())
    share = good * fields["good_weight"] / max(bad * fields["bad_weight"], 1e-9)
    if not 1 <= share <= 4 / 3:  # §4.2, equation 9
        cast.say(
            f"kto: {good:g} good and {bad:g} bad responses: good_weight × good is {share:.3g} of "
            f"bad_weight × bad, and 1 to 4/3 is advised; with bad_weight {fields['bad_weight']:g}, "
            f"take good_weight {bad * fields['bad_weight'] / max(good, 1):.3g}"
        )
    return fields


def _orpo(cast: Cast) -> Fields:
    return _of(cast, "beta", "comparisons")


def _simpo(cast: Cast) -> Fields:
    return _of(cast, "beta", "gamma", "label_smoothing", "comparisons", "nll_weight")


def _of(cast: Cast, *names: str) -> Fields:
    return {name: getattr(cast.settings, name) for name in names}


def _craft(verb: str, kind: type[Preferring], own: Callable[[Cast], Fields], **more: Any) -> Craft:  # noqa: ANN401 -- fields of several kinds
    kinds = (Comparison, Label) if verb == "kto" else (Comparison,)
    return Craft(
        verb=verb,
        kind="policy",
        summary=f"A model that learned from preferences ({verb.upper()}).",
        speech=partial(dialogue_speech, kind=kinds[0]),
        dataset=partial(preferences, kinds=kinds),
        algorithm=partial(preferring, kind=kind, own=own, **more),
        shown=("loss", "accuracy", "learning_rate"),
        demand=partial(_demand, has_reference=more.get("has_reference", True)),
    )


def _demand(cast: Cast, *, has_reference: bool) -> Demand:
    """Return what a stage asks: its rows as they are learned from, and answers to see the drift."""
    made = cast.dataset
    if cast.craft.verb == "kto":
        longest = _longest(cast)
        main, held = Judged(made.main, longest), Judged(made.held_out, longest)
        cast = replace(cast, dataset=replace(made, main=main, held_out=held))
    return from_rows(cast, drawn=NUM_PROMPTS, has_reference=has_reference)


DPO = _craft("dpo", Dpo, _dpo)
IPO = _craft("ipo", Ipo, _ipo)
KTO = _craft("kto", Kto, _kto)
ORPO = _craft("orpo", Orpo, _orpo, has_reference=False)
SIMPO = _craft("simpo", Simpo, _simpo, has_reference=False)

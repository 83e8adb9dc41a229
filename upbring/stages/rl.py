"""PPO, GRPO and RLOO: the crafts that learn from rewards of the policy's own responses.

Policy, reference, value and reward are roles on one base in memory. Where every weight learns, the
base moves, so that a second, frozen one carries the others: that is its cost, and it is said.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upbring import durable
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rl import OnPolicy, Players, Text
from upbring.algorithms.rloo import Rloo
from upbring.algorithms.rollout_batch import Voice
from upbring.data.chat.chat import Chat
from upbring.data.read.detect_format import recognise
from upbring.data.read.records import Demonstration, Prompt
from upbring.data.trees.stream import Source, Stream
from upbring.data.trees.tree import Tree
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.model.attach_adapter import attach, is_attachable
from upbring.model.load import Loaded, load, weights_sha256
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.runs.find_model import locate
from upbring.runs.metrics import read_metrics
from upbring.runs.run_folder import Run
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Cast, Craft
from upbring.stages.dataset import Dataset, Encoder, Notice, make_dataset
from upbring.stages.encode import Speech, of_documents
from upbring.stages.encode_dialogues import dialogue_encoder
from upbring.stages.execute import write_model
from upbring.stages.planning.rl_workload import from_rounds
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_functions import GOLD, named, rewarding, speaking
from upbring.stages.reward_hacking import BANDS, SHOWN, Choice, verdict
from upbring.stages.sample_prompts import answering
from upbring.stages.sft import dialogue_speech
from upbring.train.optimizer import ParameterGroup

VALUE, AVERAGE, JUDGE = "value", "average", "judge"  # roles beside the policy's


def _as_dialogues(settings: OnPolicySettings, *, room: int = 0) -> DialogueSettings:
    """Return the settings of a stage of dialogues, whose trees leave `room` for a response."""
    names = DialogueSettings.model_fields.keys() - {"prompts"}
    given = {name: getattr(settings, name) for name in names}
    given["max_length"] = max(2, settings.max_length - room)
    return DialogueSettings.model_construct(**given, prompts=None)


def _speech(
    settings: OnPolicySettings, loaded: Loaded, *, notice: Notice, began: dt.datetime | None
) -> Speech:
    """Return the speech of a stage that is asked and answers."""
    asked = _as_dialogues(settings, room=settings.response_tokens)
    return dialogue_speech(asked, loaded, notice=notice, began=began, kind=Prompt)


def _dataset(
    settings: OnPolicySettings, speech: Speech, *, notice: Notice, poll: Callable[[], None]
) -> Dataset:
    """Return prompts to learn from and held-out ones; demonstrations or documents may be mixed in.

    A prompt that leaves no room for a response within `max_length` is not used, and that is said.
    """
    assert speech.chat is not None, "prompts are dialogues"
    return make_dataset(
        _as_dialogues(settings),
        speech.encoder,
        seed=settings.seed,
        notice=notice,
        poll=poll,
        mix_encoder=_replayed(settings, speech, speech.chat),
    )


def _replayed(settings: OnPolicySettings, speech: Speech, chat: Chat) -> Encoder:
    """Return how files to replay become trees: as demonstrations, else as documents."""
    asked = _as_dialogues(settings)
    dialogues = dialogue_encoder(Demonstration, chat, asked)
    shared = PretrainSettings.model_fields.keys() & DialogueSettings.model_fields.keys()
    given = {name: getattr(asked, name) for name in shared}
    documents = of_documents(
        PretrainSettings.model_construct(**given | {"sample_prompts": ()}), speech.tokenizer
    ).encoder

    def trees(path: Path, notice: Notice) -> tuple[Iterable[Tree], str]:
        try:
            recognise(path, Demonstration, format=settings.format)
        except InputError:
            return documents.trees(path, notice)
        return dialogues.trees(path, notice)

    what = (*dialogues.identity, *documents.identity)
    return Encoder(trees, what, is_kept=settings.skip_bad is None)


def _prepare(cast: Cast) -> None:
    """Refuse, before anything is computed, what cannot be."""
    settings = cast.settings
    if settings.tune == "full" and settings.ema:
        raise InputError("ema: averages an adapter, not every weight; leave out ema or tune full")
    if getattr(settings, "kl_in", "") == "loss" and settings.kl_estimator == "k1":
        raise InputError(
            "kl_estimator: k1 in the loss has no gradient on average; use k2 or k3, or kl_in reward"
        )


def on_policy(cast: Cast, role: str, *, kind: type[OnPolicy]) -> OnPolicy:
    """Return the algorithm of a stage, with everybody who takes part in it."""
    settings, speech = cast.settings, cast.speech
    resident = _resident(cast, role)
    more: dict[str, Any] = {}
    has_trunk = kind is Ppo and settings.value == "trunk"
    if has_trunk:
        width = int(resident.model.network.config.get_text_config().hidden_size)
        cast.loaded.roles.add_head(role, torch.zeros(1, width))
    learned = [ParameterGroup(cast.loaded.roles.parameters(role))]
    if kind is Ppo and not has_trunk:
        more["value"], group = _value(cast, resident)
        learned.append(group)
    kept, averaged = _average(cast, role)
    judge = settings.judge and speaking(cast, resident, settings.judge, role=JUDGE)
    tokenizer = speech.tokenizer
    return kind(
        settings=settings,
        players=Players(
            policy=_voice(cast.loaded, role),
            reference=_voice(resident, BASE),
            reward=rewarding(cast, resident),
            judge=judge or None,
            kept=kept,
            averaged=averaged,
        ),
        learned=learned,
        prompts=cast.dataset.main,
        held_out=cast.dataset.held_out,
        text=Text(
            tokenizer.decode,
            lambda token: tokenizer.decode([token], with_specials=True),
            speech.stops,
        ),
        micro_tokens=micro_tokens(cast),
        is_rescored=cast.machine.compute != torch.float32,
        replay=_replay(cast),
        answer=answering(cast, AVERAGE if kept else role),
        poll=cast.poll,
        say=cast.say,
        **more,
    )


def _voice(loaded: Loaded, role: str, *, offset: float = 0.0) -> Voice:
    roles = loaded.roles
    return Voice(loaded.model, partial(roles.speaking, role), roles.heads.get(role), offset)


def _resident(cast: Cast, role: str) -> Loaded:
    """Return the base that stays as it is: the policy's own or, where that learns, a second one.

    It is kept in float32 as the policy is, or the divergence would not begin at 0.
    """
    if role != BASE:
        return cast.loaded
    network = cast.loaded.model.network
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    cast.say(
        f"tune full: a second, frozen copy of the model ({durable.size(size)}) carries reference, "
        "value and reward; with --tune lora one base carries all"
    )
    again = load(
        cast.settings.model,
        device=cast.machine.device,
        compute=cast.machine.compute,
        is_whole=True,
        notice=lambda _: None,
    )
    if cast.settings.gradient_checkpointing:
        again.roles.checkpoint_gradients()
    return again


def _value(cast: Cast, resident: Loaded) -> tuple[Voice, ParameterGroup]:
    """Return who estimates values: a copy of the reward model, or a new adapter that says 0."""
    settings, roles = cast.settings, resident.roles
    every = [named(text, "reward")[0] for text in settings.reward]
    name = next((n for n in every if n != GOLD and is_attachable(resident, n, notice=cast.say)), "")
    offset = 0.0
    if name:
        agreed = attach(resident, name, VALUE, notice=cast.say)
        offset = agreed.offset if agreed else 0.0
    else:
        roles.add_adapter(VALUE, settings, seed=settings.seed)
    if VALUE not in roles.heads:
        width = int(resident.model.network.config.get_text_config().hidden_size)
        roles.add_head(VALUE, torch.zeros(1, width))
    learned = roles.parameters(VALUE)
    for parameter in learned.values():
        parameter.requires_grad = True
    return _voice(resident, VALUE, offset=offset), ParameterGroup(learned, settings.value_rate)


def _average(cast: Cast, role: str) -> tuple[Voice | None, list[tuple[nn.Parameter, nn.Parameter]]]:
    """Return the average of the policy's weights, if one is kept, and what it follows."""
    if not cast.settings.ema:
        return None, []
    roles = cast.loaded.roles
    roles.add_adapter(AVERAGE, cast.settings, seed=cast.settings.seed)
    kept = roles.parameters(AVERAGE)
    pairs = []
    with torch.no_grad():
        for name, policy in roles.parameters(role).items():
            if "lora_" in name:
                mine = kept[name.replace(f".{role}.", f".{AVERAGE}.", 1)]
                mine.copy_(policy)
                mine.requires_grad = False
                pairs.append((mine, policy))
    return _voice(cast.loaded, AVERAGE), pairs


def _replay(cast: Cast) -> Stream | None:
    """Return the rows to replay in each step, if there are any."""
    mixed, settings = cast.dataset.mixed, cast.settings
    if not mixed:
        return None
    total = sum(source.share for source in mixed)
    count = max(1, round(settings.step_examples * total / (1 - total)))
    first, *others = mixed
    rest = [Source(other.trees, other.share / total) for other in others]
    return Stream(first.trees, rest, settings.seed, 1.0, count)


def _identity(cast: Cast) -> dict[str, JSON]:
    """Return the reward models and the judge, by their weights, and a function by its name."""
    names = [named(text, "reward")[0] for text in cast.settings.reward]
    names += [cast.settings.judge] if cast.settings.judge else []
    found: list[JSON] = [
        weights_sha256(locate(name, notice=lambda _: None)) for name in names if name != GOLD
    ]
    if cast.reward is None:
        return {"rewards": found}
    return {"rewards": found, "function": getattr(cast.reward, "__name__", "unnamed")}


def _write(cast: Cast, role: str, folder: Path, agreed: Contract) -> None:
    """Write the policy or, if one was kept, the average of its weights; and of the others nothing.

    A value on the policy's own layers goes too: with a head it would be taken for a reward model.
    """
    kept, roles = AVERAGE if cast.settings.ema else role, cast.loaded.roles
    roles.heads.pop(kept, None)
    for other in [name for name in roles.configs if name != kept]:
        roles.drop(other)
    write_model(cast, kept, folder, agreed)


def _finish(cast: Cast, role: str, run: Run) -> None:
    """End with a verdict."""
    del role
    steps, settings = run.facts()["steps"], cast.settings
    choice = Choice(settings.kl_weight, settings.kl_budget, is_last=settings.choose == "last")
    for line in verdict(read_metrics(run.metrics_file), steps=int(str(steps)), choice=choice):
        cast.say(line)


def _craft(verb: str, kind: type[OnPolicy], told: str) -> Craft:
    return Craft(
        verb=verb,
        kind="policy",
        summary=f"A model that learned from rewards of its own responses ({told}).",
        speech=_speech,
        dataset=_dataset,
        algorithm=partial(on_policy, kind=kind),
        answers=False,
        prepare=_prepare,
        identity=_identity,
        write=_write,
        finish=_finish,
        bands=BANDS,
        shown=SHOWN,
        demand=partial(from_rounds, replay=_replay),
        next_step=lambda run: f"`upbring chat {run.path}`, or `upbring rollouts {run.path}`",
    )


PPO = _craft("ppo", Ppo, "PPO")
GRPO = _craft("grpo", Grpo, "GRPO")
RLOO = _craft("rloo", Rloo, "RLOO")

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
from upbring.algorithms.rl import OnPolicy, PolicyRoles, ResponseDecoder
from upbring.algorithms.rloo import Rloo
from upbring.algorithms.rollout_batch import RoleModel
from upbring.data.chat.chat import Chat
from upbring.data.read.detect_format import detect_format
from upbring.data.read.records import Demonstration, Prompt
from upbring.data.trees.stream import MixtureSource, Stream
from upbring.data.trees.tree import Tree
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.model.attach_adapter import attach_adapter, is_attachable
from upbring.model.load import LoadedModel, load, weights_sha256
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.runs.find_model import locate_model
from upbring.runs.metrics import read_metrics
from upbring.runs.run_folder import Run
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Method, StageContext
from upbring.stages.dataset import Dataset, Encoder, Log, make_dataset
from upbring.stages.encode import Preprocessor, make_document_preprocessor
from upbring.stages.encode_dialogues import make_dialogue_encoder
from upbring.stages.execute import write_model
from upbring.stages.planning.rl_workload import workload_from_rollouts
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_functions import GOLD, load_reward, make_reward, parse_weighted_name
from upbring.stages.reward_hacking import (
    HEALTHY_RANGES,
    PROGRESS_METRICS,
    CheckpointChoice,
    summarize_run,
)
from upbring.stages.sample_prompts import make_prompt_sampler
from upbring.stages.sft import make_preprocessor
from upbring.train.optimizer import ParameterGroup

VALUE, EMA, JUDGE = "value", "average", "judge"  # roles beside the policy's


def _dialogue_settings(settings: OnPolicySettings, *, reserved_tokens: int = 0) -> DialogueSettings:
    """Return the settings of a stage of dialogues, whose trees leave `reserved_tokens` for a response."""
    names = DialogueSettings.model_fields.keys() - {"prompts"}
    values = {name: getattr(settings, name) for name in names}
    values["max_length"] = max(2, settings.max_length - reserved_tokens)
    return DialogueSettings.model_construct(**values, prompts=None)


def _make_preprocessor(
    settings: OnPolicySettings, loaded: LoadedModel, *, log: Log, started_at: dt.datetime | None
) -> Preprocessor:
    """Return the speech of a stage that is asked and answers."""
    dialogue_settings = _dialogue_settings(settings, reserved_tokens=settings.max_response_length)
    return make_preprocessor(dialogue_settings, loaded, log=log, started_at=started_at, kind=Prompt)


def _load_dataset(
    settings: OnPolicySettings, preprocessor: Preprocessor, *, log: Log, poll: Callable[[], None]
) -> Dataset:
    """Return prompts to learn from and held-out ones; demonstrations or documents may be mixed in.

    A prompt that leaves no room for a response within `max_length` is not used, and that is said.
    """
    assert preprocessor.chat is not None, "prompts are dialogues"
    return make_dataset(
        _dialogue_settings(settings),
        preprocessor.encoder,
        seed=settings.seed,
        log=log,
        poll=poll,
        mix_encoder=_make_replay_encoder(settings, preprocessor, preprocessor.chat),
    )


def _make_replay_encoder(
    settings: OnPolicySettings, preprocessor: Preprocessor, chat: Chat
) -> Encoder:
    """Return how files to replay become trees: as demonstrations, else as documents."""
    dialogue_settings = _dialogue_settings(settings)
    dialogues = make_dialogue_encoder(Demonstration, chat, dialogue_settings)
    shared = PretrainSettings.model_fields.keys() & DialogueSettings.model_fields.keys()
    values = {name: getattr(dialogue_settings, name) for name in shared}
    documents = make_document_preprocessor(
        PretrainSettings.model_construct(**values | {"sample_prompts": ()}), preprocessor.tokenizer
    ).encoder

    def encode(path: Path, log: Log) -> tuple[Iterable[Tree], str]:
        try:
            detect_format(path, Demonstration, format=settings.format)
        except InputError:
            return documents.encode(path, log)
        return dialogues.encode(path, log)

    identity = (*dialogues.identity, *documents.identity)
    return Encoder(encode, identity, is_cacheable=settings.skip_bad is None)


def _check_settings(context: StageContext) -> None:
    """Refuse, before anything is computed, what cannot be."""
    settings = context.settings
    if settings.tune == "full" and settings.ema_decay:
        raise InputError("ema: averages an adapter, not every weight; leave out ema or tune full")
    if getattr(settings, "kl_in", "") == "loss" and settings.kl_estimator == "k1":
        raise InputError(
            "kl_estimator: k1 in the loss has no gradient on average; use k2 or k3, or kl_in reward"
        )


def make_rl_algorithm(
    context: StageContext, role: str, *, algorithm_class: type[OnPolicy]
) -> OnPolicy:
    """Return the algorithm of a stage, with everybody who takes part in it."""
    settings, preprocessor = context.settings, context.preprocessor
    frozen_base = _load_frozen_base(context, role)
    extra_fields: dict[str, Any] = {}
    has_trunk = algorithm_class is Ppo and settings.value_model == "trunk"
    if has_trunk:
        width = int(frozen_base.model.network.config.get_text_config().hidden_size)
        context.loaded.roles.add_head(role, torch.zeros(1, width))
    parameter_groups = [ParameterGroup(context.loaded.roles.parameters(role))]
    if algorithm_class is Ppo and not has_trunk:
        extra_fields["value_model"], value_group = _make_value_model(context, frozen_base)
        parameter_groups.append(value_group)
    ema, ema_pairs = _make_ema(context, role)
    judge = settings.judge and load_reward(context, frozen_base, settings.judge, role=JUDGE)
    tokenizer = preprocessor.tokenizer
    return algorithm_class(
        settings=settings,
        roles=PolicyRoles(
            policy=_make_role_model(context.loaded, role),
            reference=_make_role_model(frozen_base, BASE),
            reward=make_reward(context, frozen_base),
            judge=judge or None,
            ema=ema,
            ema_parameters=ema_pairs,
        ),
        trainable=parameter_groups,
        prompts=context.dataset.main,
        held_out=context.dataset.held_out,
        decoder=ResponseDecoder(
            tokenizer.decode,
            lambda token: tokenizer.decode([token], with_special_tokens=True),
            preprocessor.stop_token_ids,
        ),
        micro_tokens=micro_tokens(context),
        is_rescored=context.machine.compute_dtype != torch.float32,
        replay=_make_replay_stream(context),
        sample_responses=make_prompt_sampler(context, EMA if ema else role),
        poll=context.poll,
        log=context.log,
        **extra_fields,
    )


def _make_role_model(loaded: LoadedModel, role: str, *, offset: float = 0.0) -> RoleModel:
    roles = loaded.roles
    return RoleModel(loaded.model, partial(roles.active, role), roles.heads.get(role), offset)


def _load_frozen_base(context: StageContext, role: str) -> LoadedModel:
    """Return the base that stays as it is: the policy's own or, where that learns, a second one.

    It is kept in float32 as the policy is, or the divergence would not begin at 0.
    """
    if role != BASE:
        return context.loaded
    network = context.loaded.model.network
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    context.log(
        f"tune full: a second, frozen copy of the model ({durable.format_size(size)}) carries reference, "
        "value and reward; with --tune lora one base carries all"
    )
    frozen_copy = load(
        context.settings.model,
        device=context.machine.device,
        compute_dtype=context.machine.compute_dtype,
        is_full_finetuning=True,
        log=lambda _: None,
    )
    if context.settings.gradient_checkpointing:
        frozen_copy.roles.enable_gradient_checkpointing()
    return frozen_copy


def _make_value_model(
    context: StageContext, frozen_base: LoadedModel
) -> tuple[RoleModel, ParameterGroup]:
    """Return who estimates values: a copy of the reward model, or a new adapter that says 0."""
    settings, roles = context.settings, frozen_base.roles
    reward_names = [parse_weighted_name(text, "reward_model")[0] for text in settings.reward_model]
    name = next(
        (n for n in reward_names if n != GOLD and is_attachable(frozen_base, n, log=context.log)),
        "",
    )
    offset = 0.0
    if name:
        contract = attach_adapter(frozen_base, name, VALUE, log=context.log)
        offset = contract.offset if contract else 0.0
    else:
        roles.add_adapter(VALUE, settings, seed=settings.seed)
    if VALUE not in roles.heads:
        width = int(frozen_base.model.network.config.get_text_config().hidden_size)
        roles.add_head(VALUE, torch.zeros(1, width))
    value_parameters = roles.parameters(VALUE)
    for parameter in value_parameters.values():
        parameter.requires_grad = True
    return _make_role_model(frozen_base, VALUE, offset=offset), ParameterGroup(
        value_parameters, settings.value_lr_multiplier
    )


def _make_ema(
    context: StageContext, role: str
) -> tuple[RoleModel | None, list[tuple[nn.Parameter, nn.Parameter]]]:
    """Return the average of the policy's weights, if one is kept, and what it follows."""
    if not context.settings.ema_decay:
        return None, []
    roles = context.loaded.roles
    roles.add_adapter(EMA, context.settings, seed=context.settings.seed)
    ema_parameters = roles.parameters(EMA)
    pairs = []
    with torch.no_grad():
        for name, policy_parameter in roles.parameters(role).items():
            if "lora_" in name:
                ema_parameter = ema_parameters[name.replace(f".{role}.", f".{EMA}.", 1)]
                ema_parameter.copy_(policy_parameter)
                ema_parameter.requires_grad = False
                pairs.append((ema_parameter, policy_parameter))
    return _make_role_model(context.loaded, EMA), pairs


def _make_replay_stream(context: StageContext) -> Stream | None:
    """Return the rows to replay in each step, if there are any."""
    mixed, settings = context.dataset.mixed, context.settings
    if not mixed:
        return None
    total = sum(source.share for source in mixed)
    count = max(1, round(settings.batch_size * total / (1 - total)))
    first, *other_sources = mixed
    rescaled = [MixtureSource(other.trees, other.share / total) for other in other_sources]
    return Stream(first.trees, rescaled, settings.seed, 1.0, count)


def _reward_identity(context: StageContext) -> dict[str, JSON]:
    """Return the reward models and the judge, by their weights, and a function by its name."""
    names = [parse_weighted_name(text, "reward_model")[0] for text in context.settings.reward_model]
    names += [context.settings.judge] if context.settings.judge else []
    hashes: list[JSON] = [
        weights_sha256(locate_model(name, log=lambda _: None)) for name in names if name != GOLD
    ]
    if context.reward is None:
        return {"rewards": hashes}
    return {"rewards": hashes, "function": getattr(context.reward, "__name__", "unnamed")}


def _write_policy(context: StageContext, role: str, folder: Path, contract: Contract) -> None:
    """Write the policy or, if one was kept, the average of its weights; and of the others nothing.

    A value on the policy's own layers goes too: with a head it would be taken for a reward model.
    """
    written_role, roles = EMA if context.settings.ema_decay else role, context.loaded.roles
    roles.heads.pop(written_role, None)
    for unused_role in [name for name in roles.configs if name != written_role]:
        roles.remove(unused_role)
    write_model(context, written_role, folder, contract)


def _finish(context: StageContext, role: str, run: Run) -> None:
    """End with a verdict."""
    del role
    steps, settings = run.read_metadata()["steps"], context.settings
    choice = CheckpointChoice(
        settings.kl_coef, settings.max_kl, is_last=settings.final_weights == "last"
    )
    for line in summarize_run(read_metrics(run.metrics_file), steps=int(str(steps)), choice=choice):
        context.log(line)


def _make_method(name: str, algorithm_class: type[OnPolicy], label: str) -> Method:
    return Method(
        name=name,
        kind="policy",
        summary=f"A model that learned from rewards of its own responses ({label}).",
        make_preprocessor=_make_preprocessor,
        load_dataset=_load_dataset,
        make_algorithm=partial(make_rl_algorithm, algorithm_class=algorithm_class),
        samples_held_out_prompts=False,
        check_settings=_check_settings,
        extra_identity=_reward_identity,
        write_model=_write_policy,
        finish=_finish,
        healthy_ranges=HEALTHY_RANGES,
        progress_metrics=PROGRESS_METRICS,
        make_workload=partial(workload_from_rollouts, replay=_make_replay_stream),
        next_command=lambda run: f"`upbring chat {run.path}`, or `upbring rollouts {run.path}`",
    )


PPO = _make_method("ppo", Ppo, "PPO")
GRPO = _make_method("grpo", Grpo, "GRPO")
RLOO = _make_method("rloo", Rloo, "RLOO")

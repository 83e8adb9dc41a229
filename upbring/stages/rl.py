"""PPO, GRPO and RLOO: training on rewards of the policy's own responses.

Policy, reference, value and reward models are roles on one base in memory. In full fine-tuning the
base changes, so that the other roles need a second, frozen copy of it; its size is logged.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from upbring import durable
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.ppo import Ppo
from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rloo import Rloo
from upbring.algorithms.sample_round import PolicyRoles, ResponseDecoder, RoleModel
from upbring.data.chat.chat import Chat
from upbring.data.read.detect_format import detect_format
from upbring.data.read.records import Demonstration, Prompt
from upbring.data.trees.stream import make_replay_stream
from upbring.data.trees.tree import Tree
from upbring.durable import JSON
from upbring.errors import InputError, format_command
from upbring.model.attach_adapter import attach_adapter, is_attachable
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import LoadedModel, ModelFiles, load, weights_sha256
from upbring.model.network import require_one_rotary_scale
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.runs.metrics import read_metrics
from upbring.runs.results import find_judge_quality
from upbring.runs.run_folder import Run
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.stage import DialogueSettings
from upbring.stages.context import Implementation, StageContext
from upbring.stages.dataset import Dataset, Encoder, Log, can_choose_step, make_dataset
from upbring.stages.encode import Preprocessor, make_document_preprocessor
from upbring.stages.encode_dialogues import make_dialogue_encoder
from upbring.stages.provenance import micro_tokens
from upbring.stages.reward_functions import GOLD, load_reward, make_reward, parse_weighted_name
from upbring.stages.reward_hacking import (
    CheckpointChoice,
    summarize_run,
)
from upbring.stages.run_stage import write_model
from upbring.stages.sample_prompts import make_prompt_sampler
from upbring.stages.sft import make_preprocessor
from upbring.tracking import Track
from upbring.train.checkpoint import FUNCTIONS
from upbring.train.healthy_ranges import RL_RANGES
from upbring.train.optimizer import ParameterGroup

VALUE, EMA, JUDGE = "value", "average", "judge"  # roles besides the policy's


def _dialogue_settings(settings: OnPolicySettings, *, reserved_tokens: int = 0) -> DialogueSettings:
    """Return the dialogue settings; trees leave `reserved_tokens` of `max_length` free."""
    names = DialogueSettings.model_fields.keys() - {"prompts"}
    values = {name: getattr(settings, name) for name in names}
    values["max_length"] = max(2, settings.max_length - reserved_tokens)
    return DialogueSettings.model_construct(**values, prompts=None)


def _make_preprocessor(
    settings: OnPolicySettings, files: ModelFiles, *, log: Log, started_at: dt.datetime | None
) -> Preprocessor:
    """Return the preprocessor of prompts, which leave room for a response."""
    dialogue_settings = _dialogue_settings(settings, reserved_tokens=settings.max_response_length)
    return make_preprocessor(dialogue_settings, files, log=log, started_at=started_at, kind=Prompt)


def _load_dataset(
    settings: OnPolicySettings,
    preprocessor: Preprocessor,
    *,
    log: Log,
    poll: Callable[[], None],
    track: Track,
) -> Dataset:
    """Return training and held-out prompts; files of `mix` are demonstrations or documents.

    A prompt that leaves no room for a response within `max_length` is dropped, which is logged.
    """
    assert preprocessor.chat is not None, "prompts are dialogues"
    dataset = make_dataset(
        _dialogue_settings(settings),
        preprocessor.encoder,
        seed=settings.seed,
        log=log,
        poll=poll,
        track=track,
        mix_encoder=_make_replay_encoder(settings, preprocessor, preprocessor.chat),
    )
    if not len(dataset.held_out):
        log("no prompt is held out: held-out numbers are measured on training prompts")
    return dataset


def _make_replay_encoder(
    settings: OnPolicySettings, preprocessor: Preprocessor, chat: Chat
) -> Encoder:
    """Return the encoder of files to replay: as demonstrations, else as documents."""
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
    """Refuse impossible combinations of settings before anything is computed."""
    settings = context.settings
    if settings.tune == "full" and settings.ema_decay:
        raise InputError(
            "ema_decay: averages an adapter, and tune is full; leave out ema_decay, or use lora"
        )
    if (
        isinstance(settings, PpoSettings)
        and settings.kl_in == "loss"
        and settings.kl_estimator == "k1"
    ):
        raise InputError(
            "kl_estimator: k1 in the loss has no gradient on average; use k2 or k3, or kl_in reward"
        )


def make_rl_algorithm(
    context: StageContext, role: str, *, algorithm_class: type[OnPolicy]
) -> OnPolicy:
    """Return the algorithm of a stage, with all its models."""
    settings, preprocessor = context.settings, context.preprocessor
    for prompts in (context.dataset.main, context.dataset.held_out):
        require_one_rotary_scale(context.loaded.model, prompts, settings.max_response_length)
    frozen_base = _load_frozen_base(context, role)
    value, value_groups = _make_value(context, frozen_base, role)
    policy_group = ParameterGroup(context.loaded.roles.parameters(role))
    ema, ema_pairs = _make_ema(context, role)
    judge = settings.judge and load_reward(context, frozen_base, settings.judge, role=JUDGE)
    tokenizer = preprocessor.tokenizer
    reward = make_reward(context, frozen_base)
    return algorithm_class(
        settings=settings,
        roles=PolicyRoles(
            policy=_make_role_model(context.loaded, role),
            reference=_make_role_model(frozen_base, BASE),
            reward=reward,
            source_names=reward.source_names,
            judge=judge or None,
            value=value,
            ema=ema,
            ema_parameters=ema_pairs,
        ),
        trainable=[policy_group, *value_groups],
        prompts=context.dataset.main,
        held_out=context.dataset.held_out,
        decoder=ResponseDecoder(
            tokenizer.decode,
            lambda token: tokenizer.decode([token], with_special_tokens=True),
            preprocessor.stop_token_ids,
        ),
        micro_tokens=micro_tokens(context),
        is_rescored=context.machine.compute_dtype != torch.float32,
        replay=make_replay_stream(
            context.dataset.mixed,
            batch_size=context.settings.batch_size,
            seed=context.settings.seed,
        ),
        sample_fixed_prompts=make_prompt_sampler(context, EMA if ema else role),
        poll=context.poll,
        log=context.log,
    )


def _make_value(
    context: StageContext, frozen_base: LoadedModel, role: str
) -> tuple[RoleModel | None, list[ParameterGroup]]:
    """Return the value model and its parameters, for methods that have one.

    With `value_model: trunk` the head is on the policy's own layers, and there is no other model.
    """
    settings = context.settings
    if not isinstance(settings, PpoSettings):
        return None, []
    if settings.value_model == "trunk":
        width = int(frozen_base.model.network.config.get_text_config().hidden_size)
        context.loaded.roles.add_head(role, torch.zeros(1, width))
        return None, []
    value, group = _make_value_model(context, frozen_base)
    return value, [group]


def _make_role_model(loaded: LoadedModel, role: str, *, offset: float = 0.0) -> RoleModel:
    roles = loaded.roles
    return RoleModel(loaded.model, partial(roles.active, role), roles.heads.get(role), offset)


def _load_frozen_base(context: StageContext, role: str) -> LoadedModel:
    """Return the frozen base: the policy's own or, in full fine-tuning, a second copy.

    The copy is in float32 as the policy is; otherwise the KL divergence would not start at 0.
    """
    if role != BASE:
        return context.loaded
    network = context.loaded.model.network
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    context.log(
        f"tune full: a second, frozen copy of the model ({durable.format_size(size)}) is loaded "
        "for reference, value and reward; with --tune lora they share one base"
    )
    frozen_copy = load(
        context.settings.model,
        device=context.machine.device,
        compute_dtype=context.machine.compute_dtype,
        is_full_finetuning=True,
        log=lambda _: None,
        track=context.track,
    )
    if context.settings.gradient_checkpointing:
        frozen_copy.roles.enable_gradient_checkpointing()
    return frozen_copy


def _make_value_model(
    context: StageContext, frozen_base: LoadedModel
) -> tuple[RoleModel, ParameterGroup]:
    """Return the value model: a copy of the reward model, or a new adapter that predicts 0."""
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
    """Return the average of the policy's weights, if one is kept, and (average, policy) pairs."""
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


def _reward_identity(context: StageContext) -> dict[str, JSON]:
    """Return the weight hashes of reward models and judge, and the functions' names and hashes."""
    names = [parse_weighted_name(text, "reward_model")[0] for text in context.settings.reward_model]
    names += [context.settings.judge] if context.settings.judge else []
    hashes: list[JSON] = [
        weights_sha256(locate_model(name, log=lambda _: None)) for name in names if name != GOLD
    ]
    functions = context.reward_functions
    return {
        "rewards": hashes,
        "reward_functions": [f"{function.name}={weight:g}" for function, weight in functions],
        FUNCTIONS: {function.name: function.sha256 for function, _ in functions if function.sha256},
    }


def _write_policy(context: StageContext, role: str, folder: Path, contract: Contract) -> None:
    """Write the policy or, if one is kept, the average of its weights, without the other roles.

    The value head of `value_model: trunk` is dropped too: with a head the model would be loaded as
    a reward model.
    """
    written_role, roles = EMA if context.settings.ema_decay else role, context.loaded.roles
    roles.heads.pop(written_role, None)
    for unused_role in [name for name in roles.configs if name != written_role]:
        roles.remove(unused_role)
    write_model(context, written_role, folder, contract)


def _finish(context: StageContext, role: str, run: Run) -> None:
    """Log the verdict and advice."""
    del role
    steps, settings = run.read_metadata()["steps"], context.settings
    choice = CheckpointChoice(
        settings.kl_coef,
        settings.max_kl,
        is_last=settings.final_weights == "last"
        or not can_choose_step(context.dataset, is_on_policy=True),
    )
    judge = find_judge_quality(settings.judge) if settings.judge else None
    records = read_metrics(run.metrics_file)
    for line in summarize_run(records, steps=int(str(steps)), choice=choice, judge=judge):
        context.log(line)


def _judges(context: StageContext) -> list[str]:
    """Return the reward models and the judge; rules have no quality to measure."""
    settings = context.settings
    names = [parse_weighted_name(text, "reward_model")[0] for text in settings.reward_model]
    judges = [*names, *([settings.judge] if settings.judge else [])]
    return [name for name in dict.fromkeys(judges) if Path(name).is_dir()]


def on_policy_implementation(algorithm_class: type[OnPolicy], *, label: str) -> Implementation:
    """Return the implementation of a method that trains on rewards of its own responses."""
    return Implementation(
        summary=f"A model trained on rewards of its own responses ({label}).",
        make_preprocessor=_make_preprocessor,
        load_dataset=_load_dataset,
        make_algorithm=partial(make_rl_algorithm, algorithm_class=algorithm_class),
        samples_held_out_prompts=False,
        check_settings=_check_settings,
        judges=_judges,
        extra_identity=_reward_identity,
        write_model=_write_policy,
        finish=_finish,
        healthy_ranges=RL_RANGES,
        next_command=lambda run: (
            f"{format_command('chat', run.path)}, or {format_command('rollouts', run.path)}"
        ),
    )


PPO = on_policy_implementation(Ppo, label="PPO")
GRPO = on_policy_implementation(Grpo, label="GRPO")
RLOO = on_policy_implementation(Rloo, label="RLOO")

"""What users of other tools type first: each name works, or is answered with the right one."""

from pathlib import Path
from typing import Any

import pytest

from upbring.errors import InputError
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.aliases import aliases, find_alias, nearest_setting, render_names
from upbring.settings.answered_names import ANSWERED as ANSWERED_NAMES
from upbring.settings.answered_names import Advice
from upbring.settings.commands.chat import ChatSettings
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.export import ExportSettings
from upbring.settings.methods.dpo import DpoSettings
from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.methods.kto import KtoSettings
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.reward_model import RewardSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.methods.simpo import SimpoSettings
from upbring.settings.resolve import CallStyle, resolve
from upbring.settings.schema import Settings, setting_specs

SFT, DPO, KTO, PPO, GRPO = SftSettings, DpoSettings, KtoSettings, PpoSettings, GrpoSettings
ALL = (SFT, DPO, KTO, SimpoSettings, PPO, GRPO, RewardSettings, PretrainSettings)
OTHERS = (ChatSettings, CollectSettings, EvaluateSettings, ExportSettings)

Case = tuple[type[Settings], str, object, dict[str, object]]

WORKING: list[Case] = [
    (SFT, "load-in-4bit", True, {"quantization": "nf4"}),
    (SFT, "load-in-8bit", True, {"quantization": "int8"}),
    (SFT, "adapter", "qlora", {"quantization": "nf4"}),
    (SFT, "lr", "1e-4", {"learning_rate": 1e-4}),
    (SFT, "learning-rate", "1e-4", {"learning_rate": 1e-4}),
    (SFT, "batch-size", "4", {"batch_size": 4}),
    (SFT, "train-batch-size", "4", {"batch_size": 4}),
    (SFT, "global-batch-size", "4", {"batch_size": 4}),
    (SFT, "max-steps", "100", {"steps": 100}),
    (SFT, "max-steps", "-1", {"steps": None}),
    (SFT, "num-train-epochs", "2", {"epochs": 2.0}),
    (SFT, "num-epochs", "2", {"epochs": 2.0}),
    (SFT, "warmup-ratio", "0.1", {"warmup": 0.1}),
    (SFT, "warmup-steps", "50", {"warmup": 50.0}),
    (SFT, "num-warmup-steps", "50", {"warmup": 50.0}),
    (SFT, "lr-scheduler-type", "linear", {"lr_scheduler": "linear"}),
    (SFT, "lr-scheduler-type", "constant_with_warmup", {"lr_scheduler": "constant"}),
    (SFT, "r", "8", {"rank": 8}),
    (SFT, "lora-r", "8", {"rank": 8}),
    (SFT, "lora-rank", "8", {"rank": 8}),
    (SFT, "lora-alpha", "8", {"alpha": 8.0}),
    (SFT, "lora-target-modules", "all", {"target_modules": "all-linear"}),
    (SFT, "lora-target-modules", "q_proj,v_proj", {"target_modules": "q_proj,v_proj"}),
    (SFT, "lora-target-linear", True, {"target_modules": "all-linear"}),
    (SFT, "lora-dropout", "0.0", {"rank": 16}),
    (SFT, "use-rslora", True, {"rslora": True}),
    (SFT, "use-dora", True, {"dora": True}),
    (SFT, "bf16", True, {"dtype": "bfloat16"}),
    (SFT, "bf16", False, {"dtype": "float32"}),
    (SFT, "fp32", True, {"dtype": "float32"}),
    (SFT, "fp16", False, {"dtype": "auto"}),
    (SFT, "torch-dtype", "bfloat16", {"dtype": "bfloat16"}),
    (SFT, "mixed-precision", "bf16", {"dtype": "bfloat16"}),
    (SFT, "use-cpu", True, {"device": "cpu"}),
    (SFT, "max-seq-length", "512", {"max_length": 512}),
    (SFT, "max-seq-len", "512", {"max_length": 512}),
    (SFT, "cutoff-len", "512", {"max_length": 512}),
    (SFT, "sequence-len", "512", {"max_length": 512}),
    (SFT, "output-dir", "out/mine", {"runs": Path("out"), "name": "mine"}),
    (SFT, "run-name", "mine", {"name": "mine"}),
    (SFT, "report-to", "none", {"track": ()}),
    (SFT, "report-to", "wandb", {"track": ("wandb",)}),
    (SFT, "use-wandb", "true", {"track": ("wandb",)}),
    (SFT, "dataset", "d.jsonl", {"data": (Path("d.jsonl"),)}),
    (SFT, "dataset-name", "d.jsonl", {"data": (Path("d.jsonl"),)}),
    (SFT, "train-file", "d.jsonl", {"data": (Path("d.jsonl"),)}),
    (SFT, "dataset-path", "d.jsonl", {"data": (Path("d.jsonl"),)}),
    (SFT, "eval-dataset", "e.jsonl", {"held_out": (Path("e.jsonl"),)}),
    (SFT, "validation-file", "e.jsonl", {"held_out": (Path("e.jsonl"),)}),
    (SFT, "val-size", "0.1", {"held_out_share": 0.1}),
    (SFT, "val-set-size", "0.1", {"held_out_share": 0.1}),
    (SFT, "test-size", "0.1", {"held_out_share": 0.1}),
    (SFT, "eval-steps", "5", {"eval_steps": 5}),
    (SFT, "evaluation-strategy", "steps", {"eval_steps": None}),
    (SFT, "save-steps", "5", {"save_steps": 5}),
    (SFT, "save-strategy", "steps", {"save_steps": None}),
    (SFT, "save-total-limit", "3", {"save_total_limit": 3}),
    (SFT, "seed", "7", {"seed": 7}),
    (SFT, "optim", "adamw_torch", {"adam_beta1": 0.9}),
    (SFT, "weight-decay", "0.1", {"weight_decay": 0.1}),
    (SFT, "max-grad-norm", "0.5", {"max_grad_norm": 0.5}),
    (SFT, "adam-beta1", "0.8", {"adam_beta1": 0.8}),
    (SFT, "packing", True, {"turns": "all"}),
    (SFT, "train-on-inputs", False, {"turns": "all"}),
    (SFT, "mask-history", True, {"turns": "last"}),
    (SFT, "gradient-checkpointing", True, {"gradient_checkpointing": True}),
    (SFT, "use-peft", True, {"tune": "lora"}),
    (SFT, "use-peft", False, {"tune": "full"}),
    (SFT, "lora", True, {"tune": "lora"}),
    (SFT, "full", True, {"tune": "full"}),
    (SFT, "finetuning-type", "full", {"tune": "full"}),
    (SFT, "adapter", "lora", {"tune": "lora"}),
    (SFT, "model-name-or-path", "base", {"model": "base"}),
    (SFT, "base-model", "base", {"model": "base"}),
    (SFT, "model-id", "base", {"model": "base"}),
    (SFT, "num-processes", "2", {"processes": 2}),
    (SFT, "nproc-per-node", "2", {"processes": 2}),
    (SFT, "load-best-model-at-end", False, {"final_weights": "last"}),
    (SFT, "eval-strategy", "no", {"held_out_share": 0.0}),
    (SFT, "do-eval", True, {"held_out_share": 0.05}),
    (SFT, "logging-steps", "10", {"save_steps": None}),
    (SFT, "dataloader-num-workers", "4", {"save_steps": None}),
    (SFT, "remove-unused-columns", False, {"save_steps": None}),
    (SFT, "do-train", True, {"save_steps": None}),
    (SFT, "plot-loss", True, {"save_steps": None}),
    (SFT, "verbose", True, {"save_steps": None}),
    (SFT, "log-level", "info", {"save_steps": None}),
    (SFT, "stage", "sft", {"turns": "all"}),
    (SFT, "cpu", True, {"device": "cpu"}),
    (SFT, "output", "out/mine", {"runs": Path("out"), "name": "mine"}),
    (SFT, "out", "out/mine", {"runs": Path("out"), "name": "mine"}),
    (ExportSettings, "out", "out", {"to": Path("out")}),
    (DPO, "loss-type", "sigmoid", {"label_smoothing": 0.0}),
    (KTO, "loss-type", "kto", {"desirable_weight": 1.0}),
    (SimpoSettings, "loss-type", "simpo", {"gamma": 1.0}),
    (DPO, "beta", "0.2", {"beta": 0.2}),
    (DPO, "rpo-alpha", "0.2", {"nll_weight": 0.2}),
    (DPO, "precompute-ref-log-probs", True, {"beta": 0.1}),
    (SimpoSettings, "simpo-gamma", "0.5", {"gamma": 0.5}),
    (KTO, "kto-chosen-weight", "1.5", {"desirable_weight": 1.5}),
    (PPO, "beta", "0.2", {"kl_coef": 0.2}),
    (GRPO, "beta", "0.2", {"kl_coef": 0.2}),
    (PPO, "init-kl-coef", "0.2", {"kl_coef": 0.2}),
    (PPO, "kl-coef", "0.2", {"kl_coef": 0.2}),
    (PPO, "target-kl", "6", {"kl_target": 6.0}),
    (GRPO, "loss-type", "grpo", {"average": "responses"}),
    (GRPO, "loss-type", "dapo", {"average": "tokens"}),
    (GRPO, "temperature", "1.0", {"num_generations": 8}),
    (GRPO, "scale_rewards", "none", {"scale_rewards": False}),
    (SFT, "test-datasets", "e.jsonl", {"held_out": (Path("e.jsonl"),)}),
    (ExportSettings, "merge-and-unload", True, {"as_": "merged"}),
    (ExportSettings, "as_", "adapter", {"as_": "peft"}),
    (GRPO, "num-generations", "4", {"num_generations": 4}),
    (GRPO, "num-return-sequences", "4", {"num_generations": 4}),
    (GRPO, "max-completion-length", "64", {"max_response_length": 64}),
    (PPO, "response-length", "64", {"max_response_length": 64}),
    (PPO, "max-new-tokens", "64", {"max_response_length": 64}),
    (PPO, "cliprange", "0.3", {"clip_range": 0.3}),
    (GRPO, "epsilon", "0.3", {"clip_range": 0.3}),
    (PPO, "clip-range", "0.3", {"clip_range": 0.3}),
    (PPO, "num-ppo-epochs", "2", {"update_epochs": 2}),
    (GRPO, "num-iterations", "2", {"update_epochs": 2}),
    (PPO, "ppo-epochs", "2", {"update_epochs": 2}),
    (PPO, "lam", "0.9", {"gae_lambda": 0.9}),
    (PPO, "vf-coef", "0.2", {"vf_coef": 0.2}),
    (PPO, "cliprange-value", "0.3", {"value_clip_range": 0.3}),
    (GRPO, "reward-funcs", "r.py:f", {"reward_function": ("r.py:f",)}),
    (PPO, "reward-model-path", "r", {"reward_model": ("r",)}),
    (PPO, "dataset-name", "p.jsonl", {"prompts": (Path("p.jsonl"),)}),
    (PretrainSettings, "tokenizer-name", "t", {"tokenizer": Path("t")}),
    (ChatSettings, "max-new-tokens", "9", {"max_tokens": 9}),
    (ChatSettings, "system-prompt", "Be brief.", {"system": "Be brief."}),
    (CollectSettings, "num-return-sequences", "3", {"num_responses": 3}),
    (EvaluateSettings, "model-name-or-path", "base", {"models": ("base",)}),
    (EvaluateSettings, "output-dir", "out", {"to": Path("out")}),
    (ExportSettings, "save-directory", "out", {"to": Path("out")}),
]

ANSWERED: list[tuple[type[Settings], str, object, str]] = [
    (SFT, "per-device-train-batch-size", "4", "use {batch_size}, the examples of a whole step"),
    (SFT, "micro-batch-size", "4", "use {batch_size}"),
    (SFT, "gradient-accumulation-steps", "4", "use {batch_size}"),
    (SFT, "lora-dropout", "0.05", "there is no dropout"),
    (SFT, "fp16", True, "use {dtype=bfloat16}"),
    (SFT, "logging-dir", "logs", "{track}"),
    (SFT, "evaluation-strategy", "epoch", "use {eval_steps}"),
    (SFT, "save-strategy", "epoch", "use {save_steps}"),
    (SFT, "optim", "adafactor", "AdamW is the only optimizer"),
    (SFT, "packing", False, "always packed"),
    (SFT, "resume-from-checkpoint", "runs/a", "`upbring resume RUN`"),
    (SFT, "deepspeed", "ds.json", "use {processes}"),
    (SFT, "fsdp", "full_shard", "use {processes}"),
    (SFT, "flash-attn", "fa2", "leave it out"),
    (SFT, "attn-implementation", "sdpa", "leave it out"),
    (SFT, "template", "llama3", "give {chat_template=FILE.jinja}"),
    (SFT, "tokenizer", "t", "own tokenizer"),
    (SFT, "trust-remote-code", True, "never run"),
    (SFT, "push-to-hub", True, "`upbring export`"),
    (SFT, "device-map", "auto", "use {device}"),
    (SFT, "train-on-inputs", True, "assistant's turns only"),
    (SFT, "finetuning-type", "freeze", "'freeze' is not lora or full"),
    (SFT, "overwrite-output-dir", True, "use another {name}"),
    (DPO, "ref-model", "m", "the model that the run starts from"),
    (DPO, "loss-type", "ipo", "use `upbring dpo` (sigmoid), ipo, kto"),
    (DPO, "loss-type", "hinge", "others are not available"),
    (KTO, "loss-type", "bco", "others are not available"),
    (DPO, "reference-free", True, "use `upbring orpo`"),
    (GRPO, "loss-type", "bnpo", "use {average=responses}"),
    (SFT, "bnb-4bit-quant-type", "fp4", "4-bit weights are NormalFloat"),
    (SFT, "quantization-bit", "3", "use {quantization=nf4}"),
    (SFT, "max-samples", "10", "use {steps}"),
    (SFT, "min-lr", "1e-6", "use {min_lr_ratio}, a share of {learning_rate}"),
    (SFT, "stage", "dpo", "the method is the command"),
    (DPO, "stage", "dpo", "the method is the command"),
    (SFT, "dataset-dir", "data", "use {data=FOLDER/FILE.jsonl}"),
    (PPO, "dataset-dir", "data", "use {prompts=FOLDER/FILE.jsonl}"),
    (SFT, "use-unsloth", True, "kernels are not available"),
    (SFT, "system-prompt", "Be brief.", "belongs to the rows"),
    (SFT, "default-system", "Be brief.", "belongs to the rows"),
    (SFT, "quiet", True, "standard error"),
    (SFT, "max-prompt-length", "99", "use {max_length}"),
    (SFT, "save-only-model", True, "leave it out"),
    (SFT, "init-lora-weights", "pissa", "A is random and B is zero"),
    (SFT, "do-sample", True, "decoded greedily"),
    (ChatSettings, "do-sample", True, "use {temperature}"),
    (GRPO, "reward-weights", "1", "use {reward_model=RUN=0.5}"),
    (SimpoSettings, "gamma-beta-ratio", "0.5", "use {gamma}"),
    (PPO, "temperature", "0.7", "temperature 1"),
    (PPO, "max-prompt-length", "99", "use {max_length}"),
    (GRPO, "use-vllm", True, "not available yet"),
]


def required(settings_class: type[Settings], *given: str) -> dict[str, object]:
    specs = setting_specs(settings_class).values()
    return {spec.name: "x" for spec in specs if spec.is_required and spec.name not in given}


def resolved(settings_class: type[Settings], name: str, value: object) -> Settings:
    alias = find_alias(name, setting_specs(settings_class))
    names = required(settings_class, name, alias.setting if alias else name)
    flags = {**names, name.replace("-", "_"): value}
    return resolve(settings_class, section="method", flags=flags).settings


def write_settings(settings_class: type[Settings], name: str, value: object) -> Path:
    alias = find_alias(name, setting_specs(settings_class))
    names = required(settings_class, name, alias.setting if alias else name)
    text = str(value).lower() if isinstance(value, bool) else value
    lines = [*(f"  {key}: x" for key in names), f"  {name.replace('-', '_')}: {text}"]
    file = Path("settings.yaml")
    file.write_text("\n".join(["method:", *lines, ""]))
    return file


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("settings_class", "name", "value", "expected"), WORKING)
def test_a_name_of_another_tool_works_as_a_flag_and_in_a_file(
    settings_class: type[Settings], name: str, value: object, expected: dict[str, object]
) -> None:
    settings = resolved(settings_class, name, value)
    assert {key: getattr(settings, key) for key in expected} == expected
    file = write_settings(settings_class, name, value)
    from_file = resolve(settings_class, section="method", file=file, flags={}).settings
    assert {key: getattr(from_file, key) for key in expected} == expected


@pytest.mark.parametrize(("settings_class", "name", "value", "expected"), ANSWERED)
def test_a_name_without_a_setting_is_answered_with_what_to_use(
    settings_class: type[Settings], name: str, value: object, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        resolved(settings_class, name, value)
    assert str(caught.value).startswith(f"--{name}: ")
    assert render_names(expected, CallStyle("flag", "").show) in str(caught.value)
    if value is False:
        return  # in a file, false asks for nothing
    file = write_settings(settings_class, name, value)
    with pytest.raises(InputError) as caught:
        resolve(settings_class, section="method", file=file, flags={})
    assert str(caught.value).startswith("settings.yaml:")
    assert f": method.{name.replace('-', '_')}: " in str(caught.value)
    assert render_names(expected, CallStyle("file", "").show) in str(caught.value)


def test_an_answer_shows_settings_as_the_user_gave_the_name() -> None:
    style = CallStyle("argument", "see help(upbring.sft)")
    flags = {**required(SFT), "fp16": True}
    for given, shown in (
        (None, "--dtype bfloat16 or --dtype float32"),
        (style, 'dtype="bfloat16"'),
    ):
        with pytest.raises(InputError) as caught:
            resolve(SFT, section="sft", flags=flags, style=given)
        assert f"use {shown}" in str(caught.value)
    file = write_settings(SFT, "fp16", True)  # noqa: FBT003 -- the value of a switch
    with pytest.raises(InputError, match=r"use dtype: bfloat16 or dtype: float32$"):
        resolve(SFT, section="method", file=file, flags={})


@pytest.mark.parametrize("name", [name for each in ANSWERED_NAMES for name in each.names.split()])
def test_the_settings_in_an_answer_exist_where_it_is_given(name: str) -> None:
    known = [setting_specs(each) for each in (*ALL, *OTHERS)]
    found = [(specs, find_alias(name, specs)) for specs in known if name not in specs]
    for specs, alias in found:
        if alias is not None and alias.answer:
            render_names(alias.answer, lambda setting, *_, specs=specs: specs[setting].flag)


@pytest.mark.parametrize("name", list(aliases()))
def test_every_alias_means_something_to_some_command(name: str) -> None:
    known = [set(setting_specs(each)) for each in (*ALL, *OTHERS)]
    for alias in aliases()[name]:
        assert any(alias.setting in each for each in known), alias.setting
    assert any(name not in each and find_alias(name, each) for each in known)


def test_there_are_enough_of_them() -> None:
    assert len(aliases()) > 150
    assert len({name for _, name, _, _ in WORKING} | {name for _, name, _, _ in ANSWERED}) > 100


def test_answers_end_with_what_to_do() -> None:
    texts = [alias.answer for each in aliases().values() for alias in each if alias.answer]
    values = [alias.values.values() for each in aliases().values() for alias in each]
    texts += [value for each in values for value in each if isinstance(value, Advice)]
    for text in texts:
        assert "use " in text.lower() or "leave it out" in text or "give " in text or "put " in text


def test_settings_of_other_tools_that_change_nothing_are_accepted() -> None:
    file = Path("settings.yaml")
    file.write_text(
        "sft:\n  model: m\n  data: d\n  deepspeed:\n  load_in_4bit: false\n  lora_target_modules: "
        "[q_proj, v_proj]\n  datasets: null\n  wandb_project:\n"
    )
    settings = resolve(SFT, section="sft", file=file, flags={}).settings
    assert settings.target_modules == "q_proj,v_proj"


def test_two_names_for_one_setting_are_refused() -> None:
    file = Path("settings.yaml")
    file.write_text("sft:\n  model: m\n  data: d\n  lr: 1\n  learning_rate: 2\n")
    with pytest.raises(InputError) as caught:
        resolve(SFT, section="sft", file=file, flags={})
    assert str(caught.value) == (
        "settings.yaml:5: sft.learning_rate: sets learning_rate, as settings.yaml:4: sft.lr does; "
        "delete one"
    )
    flags: dict[str, Any] = {"model": "m", "data": "d", "lr": "1", "learning_rate": "2"}
    with pytest.raises(InputError, match="--learning-rate: sets learning_rate, as --lr does"):
        resolve(SFT, section="sft", flags=flags)
    file.write_text("sft:\n  model: m\n  data: d\n  learning_rate: 1\n")
    assert resolve(SFT, section="sft", file=file, flags={"lr": "2"}).settings.learning_rate == 2


@pytest.mark.parametrize(
    ("typed", "settings_class", "suggestion"),
    [
        ("learning_rat", SFT, "learning_rate"),
        ("checkpointing_gradient", SFT, "gradient_checkpointing"),
        ("warmup_fraction", SFT, "warmup"),
        ("clip_higher", PPO, "clip_range"),
        ("zero", SFT, None),
        ("max_shard_size", SFT, None),
        ("eval_on_start", SFT, None),
        ("rope_scaling", SFT, None),
        ("ddp_timeout", SFT, None),
        ("model_revision", SFT, None),
        ("unsloth", SFT, None),
        ("image_max_pixels", SFT, None),
        ("max_step", SFT, "max_steps"),
        ("weights_url", SFT, None),
        ("save_only", SFT, None),
        ("sample_rate_hz", SFT, None),
    ],
)
def test_an_unrelated_setting_is_never_suggested(
    typed: str, settings_class: type[Settings], suggestion: str | None
) -> None:
    assert nearest_setting(typed, setting_specs(settings_class)) == suggestion


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, "sft") for name in ("finetune", "train", "fine-tune")),
        *((name, "reward") for name in ("rm", "reward-model", "reward-modeling")),
        *((name, "chat") for name in ("generate", "infer")),
        *((name, "export") for name in ("merge", "convert")),
        *((name, "check") for name in ("preprocess", "validate")),
        ("eval", "evaluate"),
        ("rlhf", "ppo"),
    ],
)
def test_a_command_has_the_names_of_other_tools(name: str, command: str) -> None:
    assert COMMAND_ALIASES[name] == command


@pytest.mark.parametrize("name", ["lora", "push", "login", "version", "config", "data", "test"])
def test_a_command_that_does_not_exist_is_answered(name: str) -> None:
    assert isinstance(COMMAND_ALIASES[name], Advice)

"""What TRL, transformers, axolotl, LLaMA-Factory and OpenRLHF call settings and commands.

Each name sets a setting of ours, perhaps with a converted value, or is answered with the right name
and the reason. Names have underscores, and are separated by spaces.
"""

from typing import NamedTuple


class Advice(str):
    """Why there is no such setting or value, and what to use instead."""

    __slots__ = ()


class Answered(NamedTuple):
    """Names that set nothing, for commands that have a setting, and what to use instead."""

    setting: str
    names: str
    answer: str


_MODEL = (
    "model_name_or_path base_model model_id model_name model_path pretrained_model_name_or_path "
    "pretrain"
)
_ROWS = (
    "dataset dataset_name datasets dataset_path data_path train_data train_file train_files "
    "prompt_data"
)

# Setting: other names for it. Of several settings the first that the command has is set.
RENAMED: dict[str, str] = {
    "model": _MODEL,
    "models": _MODEL,
    "run": _MODEL,
    "tokenizer": "tokenizer_name tokenizer_name_or_path",
    "threads": "num_threads",
    "processes": "num_processes nproc_per_node num_gpus n_gpus gpus",
    "tune": "finetuning_type train_type adapter",
    "rank": "r lora_r lora_rank lora_dim",
    "alpha": "lora_alpha",
    "rslora": "use_rslora",
    "dora": "use_dora",
    "learning_rate": "lr peak_lr",
    "epochs": "num_train_epochs num_epochs train_epochs max_epochs total_epochs",
    "batch_size": "train_batch_size global_batch_size effective_batch_size",
    "warmup": "warmup_ratio warmup_steps num_warmup_steps lr_warmup_ratio lr_warmup_steps",
    "min_lr_ratio": "lr_min_ratio cosine_min_lr_ratio",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "adam_epsilon": "adam_eps",
    "weight_decay": "wd l2",
    "max_grad_norm": "max_norm grad_clip clip_grad gradient_clip_val",
    "gradient_checkpointing": "activation_checkpointing use_gradient_checkpointing",
    "seed": "random_seed",
    "max_length": "max_seq_length max_seq_len cutoff_len sequence_len sequence_length seq_len "
    "model_max_length block_size max_len context_length",
    "data": _ROWS,
    "prompts": _ROWS,
    "held_out": "eval_dataset eval_file validation_file val_file test_file",
    "held_out_share": "val_size val_set_size test_size eval_size validation_split",
    "limit": "max_samples max_train_samples",
    "chat_template": "chat_template_path",
    "name": "run_name experiment_name",
    "to": "output_dir output save_directory export_dir",
    "eval_steps": "eval_interval evaluation_steps",
    "save_steps": "save_interval save_freq",
    "save_total_limit": "max_ckpt_num",
    "beta": "pref_beta dpo_beta simpo_beta orpo_alpha",
    "gamma": "simpo_gamma",
    "label_smoothing": "dpo_label_smoothing",
    "nll_weight": "rpo_alpha pref_ftx ftx_gamma",
    "desirable_weight": "kto_chosen_weight",
    "undesirable_weight": "kto_rejected_weight",
    "kl_coef": "beta init_kl_coef kl_loss_coef",
    "kl_target": "target_kl",
    "num_generations": "num_return_sequences n_samples_per_prompt rloo_k group_size",
    "num_responses": "num_return_sequences num_generations",
    "max_response_length": "max_completion_length max_new_tokens response_length generate_max_len",
    "max_tokens": "max_new_tokens max_gen_len",
    "clip_range": "cliprange clip_eps clip_epsilon epsilon eps_clip clip_ratio",
    "update_epochs": "num_ppo_epochs ppo_epochs num_iterations",
    "gae_lambda": "lam lambd",
    "vf_coef": "value_loss_coef",
    "value_clip_range": "cliprange_value value_clip",
    "reward_function": "reward_funcs reward_functions rule rules",
    "metric_function": "metric_functions metric metrics compute_metrics",
    "reward_model": "reward_model_path reward_pretrain reward_model_name_or_path",
    "patience": "early_stopping_patience",
    "system": "system_prompt",
}

NO_FLOAT16 = Advice("float16 is not available for training; use dtype bfloat16 or float32")
_NO_DROPOUT = Advice(
    "there is no dropout, because a response scored twice must have the same log-probabilities "
    "(a PPO ratio starts at 1); leave it out, and against overfitting lower epochs or rank"
)
_ALWAYS_PACKED = Advice("examples are always packed, and do not attend to each other; leave it out")
_ASSISTANT_ONLY = Advice(
    "the loss is on the assistant's turns only; leave it out. turns chooses all of them or the last"
)
_DTYPES: dict[str, str | Advice | None] = {
    **dict.fromkeys(("bf16", "torch.bfloat16"), "bfloat16"),
    **dict.fromkeys(("fp32", "torch.float32", "no"), "float32"),
    **dict.fromkeys(("fp16", "float16", "torch.float16"), NO_FLOAT16),
}

# Setting, other names, and what their values are called here.
CONVERTED: tuple[tuple[str, str, dict[str, str | Advice | None]], ...] = (
    ("dtype", "torch_dtype precision mixed_precision compute_dtype", _DTYPES),
    ("dtype", "bf16", {"true": "bfloat16", "false": None, "auto": "auto"}),
    ("dtype", "fp32", {"true": "float32", "false": None}),
    ("dtype", "fp16", {"true": NO_FLOAT16, "false": None}),
    ("device", "use_cpu no_cuda", {"true": "cpu", "false": None}),
    ("target_modules", "lora_target_modules lora_target", {"all": "all-linear"}),
    ("target_modules", "lora_target_linear", {"true": "all-linear", "false": None}),
    ("rank", "lora_dropout dropout", {"0": None, "0.0": None, "": _NO_DROPOUT}),
    ("tune", "use_peft use_lora lora", {"true": "lora", "false": "full"}),
    ("tune", "full full_finetune full_finetuning", {"true": "full", "false": "lora"}),
    ("steps", "max_steps num_steps max_train_steps train_steps total_steps", {"-1": None}),
    (
        "lr_scheduler",
        "lr_scheduler_type scheduler lr_schedule",
        {"constant_with_warmup": "constant", "cosine_with_min_lr": "cosine"},
    ),
    (
        "adam_beta1",
        "optim optimizer",
        {
            **dict.fromkeys(("adamw", "adamw_torch", "adamw_torch_fused")),
            "": Advice("AdamW is the only optimizer; leave it out"),
        },
    ),
    ("turns", "packing sample_packing", {"true": None, "false": _ALWAYS_PACKED}),
    ("turns", "train_on_inputs train_on_prompt", {"true": _ASSISTANT_ONLY, "false": None}),
    ("turns", "assistant_only_loss completion_only_loss", {"true": None, "false": _ASSISTANT_ONLY}),
    ("turns", "mask_history", {"true": "last", "false": "all"}),
    ("final_weights", "load_best_model_at_end", {"true": "best", "false": "last"}),
    ("track", "report_to", {"none": None, "tensorboardx": "tensorboard"}),
    ("track", "use_wandb", {"true": "wandb", "false": None}),
    (
        "eval_steps",
        "eval_strategy evaluation_strategy",
        {"steps": None, "": Advice("use eval_steps; unset, a run has ten evaluations")},
    ),
    (
        "save_steps",
        "save_strategy",
        {"steps": None, "": Advice("use save_steps; unset, a run saves ten checkpoints")},
    ),
    ("comparisons", "precompute_ref_log_probs", {"true": None, "false": None}),
)

ANSWERED: tuple[Answered, ...] = (
    Answered(
        "batch_size",
        "per_device_train_batch_size per_device_batch_size micro_batch_size micro_train_batch_size "
        "gradient_accumulation_steps grad_accum per_device_eval_batch_size eval_batch_size",
        "batch_size is the whole step on all processes (per-device batch × accumulation × "
        "processes); micro_batch_tokens, which splits it, follows from the memory. Use batch_size",
    ),
    Answered(
        "device",
        "load_in_4bit load_in_8bit quantization quantization_bit qlora",
        "4-bit and 8-bit base weights are not available yet; leave it out, and to save memory use "
        "dtype bfloat16 and gradient_checkpointing",
    ),
    Answered(
        "device", "device_map", "a model is on one device; use device, or processes for several"
    ),
    Answered(
        "device",
        "attn_implementation flash_attn flash_attention use_flash_attn",
        "attention for packed rows is chosen for model and device, and checked against plain "
        "attention when a model is loaded; leave it out",
    ),
    Answered(
        "device",
        "trust_remote_code",
        "code that comes with a model is never run; use a model that transformers itself supports",
    ),
    Answered(
        "device",
        "push_to_hub hub_model_id hub_token",
        "nothing is uploaded; use `upbring export`, and upload the folder that it writes",
    ),
    Answered("device", "tf32", "TF32 is not available; use dtype bfloat16 or float32"),
    Answered(
        "model",
        "tokenizer tokenizer_name tokenizer_name_or_path",
        "a model's own tokenizer is used; put its files into the model's folder",
    ),
    Answered(
        "chat_template",
        "template",
        "a model's own chat template is used; to use another, give a Jinja file as chat_template",
    ),
    Answered(
        "rank",
        "modules_to_save lora_modules_to_save",
        "with LoRA, embeddings and head stay frozen; use tune full to train them",
    ),
    Answered("min_lr_ratio", "min_lr", "use min_lr_ratio, a share of learning_rate"),
    Answered("adam_beta1", "adam_betas betas", "use adam_beta1 and adam_beta2"),
    Answered(
        "batch_size",
        "packing sample_packing padding_free pad_to_sequence_len group_by_length",
        _ALWAYS_PACKED,
    ),
    Answered(
        "batch_size",
        "torch_compile use_liger_kernel",
        "compiled and fused kernels are not available; leave it out",
    ),
    Answered(
        "batch_size", "neftune_noise_alpha", "noisy embeddings are not available; leave it out"
    ),
    Answered(
        "processes",
        "deepspeed fsdp fsdp_config zero_stage",
        "DeepSpeed and FSDP are not available; use processes, each with the whole model, and LoRA "
        "and gradient_checkpointing to save memory",
    ),
    Answered(
        "batch_size",
        "dataloader_num_workers num_workers preprocessing_num_workers dataset_num_proc",
        "rows are tokenized once and cached; leave it out",
    ),
    Answered(
        "batch_size",
        "max_samples max_train_samples",
        "all rows are used; use steps, or a file with fewer rows",
    ),
    Answered("turns", "response_template", _ASSISTANT_ONLY),
    Answered("save_steps", "overwrite_output_dir", "a run is never overwritten; use another name"),
    Answered(
        "track",
        "logging_dir wandb_project wandb_run_name mlflow_experiment_name",
        "a tracker's run has the name of the run; for another project set WANDB_PROJECT, "
        "TRACKIO_PROJECT or MLFLOW_EXPERIMENT_NAME. Use track",
    ),
    Answered(
        "save_steps",
        "logging_steps logging_strategy logging_first_step log_interval",
        "every step is written to metrics.jsonl; leave it out",
    ),
    Answered(
        "save_steps",
        "do_eval evals_per_epoch",
        "use eval_steps; unset, a run has ten evaluations",
    ),
    Answered(
        "final_weights",
        "early_stopping_patience",
        "a run takes all its steps and keeps the weights that did best; use final_weights",
    ),
    Answered(
        "final_weights",
        "metric_for_best_model",
        "the held-out loss decides, in RL the judge or the reward; use final_weights",
    ),
    Answered(
        "save_steps",
        "resume_from_checkpoint resume auto_resume",
        "use `upbring resume RUN`, which continues from the last checkpoint",
    ),
    Answered(
        "beta",
        "loss_type pref_loss",
        "each loss is a command of its own; use `upbring dpo`, ipo, kto, orpo or simpo",
    ),
    Answered(
        "scale_rewards", "loss_type", "use average: responses is GRPO's loss, tokens is DAPO's"
    ),
    Answered("gamma", "gamma_beta_ratio", "use gamma, the margin itself: beta × gamma_beta_ratio"),
    Answered(
        "sample_prompts",
        "ref_model ref_model_path reference_model sync_ref_model",
        "the reference is the model that the run starts from, without its adapter; leave it out",
    ),
    Answered(
        "max_response_length",
        "max_prompt_length prompt_max_len",
        "use max_length, which limits prompt and response together",
    ),
    Answered(
        "kl_coef",
        "temperature top_p top_k",
        "responses are sampled at temperature 1 from the full distribution, as the loss assumes; "
        "leave it out",
    ),
    Answered(
        "value_model",
        "critic_pretrain value_model_path",
        "the value model starts as a copy of the reward model; use value_model adapter or trunk",
    ),
    Answered(
        "num_generations", "use_vllm vllm", "rollouts with vLLM are not available yet; leave it out"
    ),
)

COMMAND_ALIASES: dict[str, str | Advice] = {
    **dict.fromkeys(("train", "finetune", "fine-tune", "instruction-tuning"), "sft"),
    **dict.fromkeys(("pt", "pretraining", "pre-train"), "pretrain"),
    **dict.fromkeys(("rm", "reward-model", "reward-modeling"), "reward"),
    "rlhf": "ppo",
    **dict.fromkeys(("eval", "benchmark"), "evaluate"),
    **dict.fromkeys(("generate", "infer", "inference"), "chat"),
    **dict.fromkeys(("merge", "convert", "merge-lora"), "export"),
    **dict.fromkeys(("preprocess", "validate"), "check"),
    **dict.fromkeys(("estimate", "estimate-memory"), "plan"),
    **dict.fromkeys(("env", "info"), "doctor"),
    **dict.fromkeys(("list", "ls"), "runs"),
    **dict.fromkeys(
        ("serve", "api", "vllm-serve"),
        Advice("a server is not available yet; use chat, or export and another server"),
    ),
    **dict.fromkeys(("webui", "webchat"), Advice("there is no web interface; use chat, or watch")),
    **dict.fromkeys(
        ("lora", "qlora"),
        Advice("LoRA is the default of every training command; use sft"),
    ),
}

"""What TRL, transformers, axolotl, LLaMA-Factory and OpenRLHF call settings and commands.

Each name sets a setting of ours, perhaps with a converted value, or is answered with the right name
and the reason. Names have underscores, and are separated by spaces.
"""

from upbring.settings.answered_names import (
    ALWAYS_PACKED,
    ASSISTANT_ONLY,
    AVERAGES,
    FEW_BITS,
    LORA_START,
    NO_BIAS,
    NO_DROPOUT,
    NO_FLOAT16,
    NO_STAGE,
    OTHER_LOSS,
    RESUMABLE,
    RESUMABLE_STEPS,
    SAFE_ONLY,
    SAMPLED_AS_IS,
    TRACKER_CHOICE,
    Advice,
)

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
    "tune": "finetuning_type train_type",
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
    "held_out": "eval_dataset eval_datasets eval_data eval_file validation_file validation_data "
    "val_file val_data test_file test_dataset test_datasets",
    "held_out_share": "val_size val_set_size test_size eval_size validation_split",
    "limit": "max_samples max_train_samples",
    "chat_template": "chat_template_path",
    "name": "run_name experiment_name",
    "as_": "format export_format",
    "to": "output_dir output out save_directory export_dir",
    "eval_steps": "eval_interval evaluation_steps eval_every evaluate_every eval_freq",
    "save_steps": "save_interval save_freq save_every checkpoint_every checkpointing_steps",
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
    "center_rewards_coef": "center_rewards_coefficient",
    "system": "system_prompt",
}

_SWITCH: dict[str, str | Advice | None] = {"true": None, "false": None}
_ANY_VALUE: dict[str, str | Advice | None] = {"": None}
# What changes no result here is accepted, so that a command or a file of another tool just works.
_IGNORED: tuple[tuple[str, dict[str, str | Advice | None]], ...] = (
    ("remove_unused_columns plot_loss verbose disable_tqdm log_completions", _SWITCH),
    ("overwrite_cache logging_first_step dataloader_pin_memory", _SWITCH),
    ("ddp_find_unused_parameters include_num_input_tokens_seen", _SWITCH),
    ("log_level logging_steps logging_strategy log_interval ddp_timeout", _ANY_VALUE),
    ("dataloader_num_workers num_workers preprocessing_num_workers", _ANY_VALUE),
    ("dataset_num_proc num_proc", _ANY_VALUE),
    ("save_safetensors", {"true": None, "false": SAFE_ONLY}),
    ("per_device_eval_batch_size eval_batch_size model_type tokenizer_type", _ANY_VALUE),
    ("do_train", {"true": None, "": Advice("a training command trains; leave it out")}),
)
_DTYPES: dict[str, str | Advice | None] = {
    **dict.fromkeys(("bf16", "torch.bfloat16"), "bfloat16"),
    **dict.fromkeys(("fp32", "torch.float32", "no"), "float32"),
    **dict.fromkeys(("fp16", "float16", "torch.float16"), NO_FLOAT16),
}

# Setting, other names, and what their values are called here.
CONVERTED: tuple[tuple[str, str, dict[str, str | Advice | None]], ...] = (
    ("dtype", "torch_dtype precision mixed_precision compute_dtype", _DTYPES),
    ("dtype", "bf16", {"true": "bfloat16", "false": "float32", "auto": "auto"}),
    ("dtype", "fp32", {"true": "float32", "false": None}),
    ("dtype", "fp16", {"true": NO_FLOAT16, "false": None}),
    ("device", "use_cpu no_cuda cpu", {"true": "cpu", "false": None}),
    ("target_modules", "lora_target_modules lora_target", {"all": "all-linear"}),
    ("target_modules", "lora_target_linear", {"true": "all-linear", "false": None}),
    ("rank", "lora_dropout dropout", {"0": None, "0.0": None, "": NO_DROPOUT}),
    ("quantization", "adapter", {"lora": None, "qlora": "nf4"}),  # lora is the default
    ("quantization", "load_in_4bit qlora use_4bit", {"true": "nf4", "false": None}),
    ("quantization", "load_in_8bit use_8bit", {"true": "int8", "false": None}),
    ("quantization", "quantization_bit", {"4": "nf4", "8": "int8", "": FEW_BITS}),
    ("quantization", "quantization_method", {"bitsandbytes": None, "bnb": None, "": FEW_BITS}),
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
    ("turns", "packing sample_packing", {"true": None, "false": ALWAYS_PACKED}),
    ("turns", "train_on_inputs train_on_prompt", {"true": ASSISTANT_ONLY, "false": None}),
    ("turns", "assistant_only_loss completion_only_loss", {"true": None, "false": ASSISTANT_ONLY}),
    ("turns", "mask_history", {"true": "last", "false": "all"}),
    ("final_weights", "load_best_model_at_end", {"true": "best", "false": "last"}),
    ("track", "report_to", {"none": None, "tensorboardx": "tensorboard", "all": TRACKER_CHOICE}),
    ("track", "use_wandb", {"true": "wandb", "false": None}),
    (
        "held_out_share",
        "eval_strategy evaluation_strategy",
        {
            "steps": None,
            "no": "0",
            "": Advice("use {eval_steps}; unset, a run has ten evaluations"),
        },
    ),
    (
        "save_steps",
        "save_strategy",
        {
            "steps": None,
            "no": RESUMABLE_STEPS,
            "": Advice("use {save_steps}; unset, a run saves ten checkpoints"),
        },
    ),
    ("held_out_share", "do_eval", {"true": None, "false": "0"}),
    ("comparisons", "precompute_ref_log_probs", {"true": None, "false": None}),
    ("as_", "merge merge_and_unload", {"true": "merged", "false": None}),
    ("as_", "gguf", {"true": "gguf", "false": None}),
    ("average", "loss_type", {"grpo": "responses", "dapo": "tokens", "": AVERAGES}),
    ("kl_coef", "temperature top_p", {"1": None, "1.0": None, "": SAMPLED_AS_IS}),
    ("kl_coef", "top_k", {"0": None, "-1": None, "": SAMPLED_AS_IS}),
    ("rank", "lora_bias", {"none": None, "": NO_BIAS}),
    # each method has its own loss; of these settings it has the first that is its own
    ("gamma", "loss_type pref_loss", {"simpo": None, "": OTHER_LOSS}),
    ("desirable_weight", "loss_type pref_loss", {"kto": None, "": OTHER_LOSS}),
    ("label_smoothing", "loss_type pref_loss", {"sigmoid": None, "": OTHER_LOSS}),
    ("length_normalized", "loss_type pref_loss", {"ipo": None, "": OTHER_LOSS}),
    ("turns", "stage", {"sft": None, "": NO_STAGE}),
    ("save_steps", "save_only_model", {"false": None, "true": RESUMABLE}),
    ("rank", "init_lora_weights", {"true": None, "": LORA_START}),
    *(("save_steps", names, values) for names, values in _IGNORED),
)

# Other tools' names for a value of a setting.
VALUE_NAMES: dict[str, dict[str, str]] = {
    "as_": {
        **dict.fromkeys(("adapter", "lora"), "peft"),
        **dict.fromkeys(("full", "safetensors", "hf", "huggingface"), "merged"),
        **dict.fromkeys(("llama.cpp", "llama-cpp"), "gguf"),
    },
    "scale_rewards": {"group": "true", "none": "false"},
}

COMMAND_ALIASES: dict[str, str | Advice] = {
    **dict.fromkeys(("train", "finetune", "fine-tune", "instruction-tuning"), "sft"),
    **dict.fromkeys(("pt", "cpt", "pretraining", "pre-train", "continued-pretraining"), "pretrain"),
    **dict.fromkeys(("rm", "reward-model", "reward-modeling"), "reward"),
    **dict.fromkeys(("rewardtrainer", "reward-trainer"), "reward"),
    **dict.fromkeys(("sfttrainer", "sft-trainer"), "sft"),
    **dict.fromkeys(("dpotrainer", "dpo-trainer"), "dpo"),
    **dict.fromkeys(("grpotrainer", "grpo-trainer"), "grpo"),
    "rlhf": "ppo",
    **dict.fromkeys(("eval", "benchmark"), "evaluate"),
    **dict.fromkeys(("generate", "infer", "inference"), "chat"),
    **dict.fromkeys(("merge", "convert", "merge-lora"), "export"),
    **dict.fromkeys(("preprocess", "validate"), "check"),
    **dict.fromkeys(("estimate", "estimate-memory"), "plan"),
    **dict.fromkeys(("env", "info"), "doctor"),
    **dict.fromkeys(("list", "ls"), "runs"),
    **dict.fromkeys(("lm-eval", "lm_eval"), "evaluate"),
    "continue": "resume",
    "distill": "teacher",
    "new": "init",
    "quantize": Advice(
        "use sft --quantization nf4 to train on 4-bit weights, export --as gguf to write them"
    ),
    "tokenize": Advice("rows are tokenized by the training commands; check shows their lengths"),
    **dict.fromkeys(("api", "vllm-serve", "server", "webui", "webchat"), "serve"),
    **dict.fromkeys(
        ("push", "push-to-hub", "upload"),
        Advice("nothing is uploaded; use export, and upload the folder that it writes"),
    ),
    **dict.fromkeys(
        ("login", "logout"),
        Advice("there is no account; for private models on the hub set HF_TOKEN"),
    ),
    **dict.fromkeys(("annotate", "rank", "labelling", "labeling"), "label"),
    "version": Advice("use `upbring --version`"),
    **dict.fromkeys(
        ("config", "configure"),
        Advice("settings are flags or a YAML file; use `upbring COMMAND --help` to list them"),
    ),
    **dict.fromkeys(("data", "dataset"), Advice("use `upbring check FILE` to check a data file")),
    "test": Advice("use doctor to test this machine, evaluate to test a model"),
    **dict.fromkeys(
        ("lora", "qlora"),
        Advice("LoRA is the default of every training command; use sft"),
    ),
}

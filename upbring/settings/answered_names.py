"""Names from other tools that set nothing here, and the answer to each: what to use, and why.

Names have underscores, and are separated by spaces. In an answer, `{name}` and `{name=value}` are a
setting, shown as the user would write it: a flag, a YAML key or an argument.
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


NO_FLOAT16 = Advice(
    "float16 is not available for training; use {dtype=bfloat16} or {dtype=float32}"
)
NO_DROPOUT = Advice(
    "there is no dropout, because a response scored twice must have the same log-probabilities "
    "(a PPO ratio starts at 1); leave it out, and against overfitting lower {epochs} or {rank}"
)
ALWAYS_PACKED = Advice("examples are always packed, and do not attend to each other; leave it out")
ASSISTANT_ONLY = Advice(
    "the loss is on the assistant's turns only; leave it out. {turns} chooses all "
    "of them or the last"
)
TRACKER_NAMES = Advice(
    "a tracker's run has the name of the run; for another project set WANDB_PROJECT, "
    "TRACKIO_PROJECT or MLFLOW_EXPERIMENT_NAME, and to choose a tracker use {track}"
)
FEW_BITS = Advice("weights have 4 bits (nf4) or 8 bits (int8); use {quantization=nf4}")
NO_DOUBLE = Advice(
    "4-bit weights are NormalFloat with double quantization, computed in {dtype}; leave it out"
)
OTHER_LOSS = Advice(
    "each loss is a command of its own, and others are not available; use `upbring dpo` (sigmoid), "
    "ipo, kto, orpo or simpo"
)
NO_STAGE = Advice(
    "the method is the command; use `upbring pretrain`, sft, reward, dpo, kto or ppo, and leave it "
    "out"
)
RESUMABLE = Advice(
    "a checkpoint also holds the optimizer, so that a run can be resumed; leave it out: the run's "
    "model folder holds only the model"
)
LORA_START = Advice("A is random and B is zero, as by default in peft; leave it out")
RESUMABLE_STEPS = Advice(
    "a run always saves what it needs to be resumed; use {save_steps} with a large number, and "
    "{save_total_limit=1}"
)
SAFE_ONLY = Advice("weights are only written as safetensors; leave it out")
TRACKER_CHOICE = Advice("use {track=tensorboard}, wandb, mlflow or trackio, each on its own")
AVERAGES = Advice("use {average=responses}, GRPO's loss, or {average=tokens}, DAPO's")
SAMPLED_AS_IS = Advice(
    "responses are sampled at temperature 1 from the full distribution, as the loss assumes; "
    "leave it out"
)
NO_BIAS = Advice("biases stay frozen; leave it out")
ANSWERED: tuple[Answered, ...] = (
    Answered(
        "batch_size",
        "per_device_train_batch_size per_device_batch_size micro_batch_size micro_train_batch_size "
        "gradient_accumulation_steps grad_accum",
        "a step is split by the available memory; use {batch_size}, the examples of a whole step "
        "(per-device batch × accumulation × processes)",
    ),
    Answered(
        "quantization",
        "bnb_4bit_quant_type bnb_4bit_compute_dtype bnb_4bit_use_double_quant double_quantization "
        "use_bnb_nested_quant bnb_4bit_quant_storage",
        NO_DOUBLE,
    ),
    Answered(
        "processes",
        "device_map",
        "a model is on one device; use {device}, or {processes} for several",
    ),
    Answered("device", "device_map", "a model is on one device; use {device}"),
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
    Answered("device", "tf32", "TF32 is not available; use {dtype=bfloat16} or {dtype=float32}"),
    Answered(
        "model",
        "tokenizer tokenizer_name tokenizer_name_or_path",
        "a model's own tokenizer is used; put its files into the model's folder",
    ),
    Answered(
        "chat_template",
        "template",
        "a model's own chat template is used; to use another, give {chat_template=FILE.jinja}",
    ),
    Answered(
        "rank",
        "modules_to_save lora_modules_to_save",
        "with LoRA, embeddings and head stay frozen; use {tune=full} to train them",
    ),
    Answered("min_lr_ratio", "min_lr", "use {min_lr_ratio}, a share of {learning_rate}"),
    Answered("adam_beta1", "adam_betas betas", "use {adam_beta1} and {adam_beta2}"),
    Answered(
        "batch_size",
        "packing sample_packing neat_packing padding_free pad_to_sequence_len group_by_length",
        ALWAYS_PACKED,
    ),
    Answered(
        "batch_size",
        "torch_compile use_liger_kernel liger_kernel use_unsloth unsloth",
        "compiled and fused kernels are not available; leave it out",
    ),
    Answered(
        "batch_size", "neftune_noise_alpha", "noisy embeddings are not available; leave it out"
    ),
    Answered(
        "processes",
        "deepspeed fsdp fsdp_config zero_stage",
        "DeepSpeed and FSDP are not available; use {processes}, each with the whole model, and "
        "LoRA and {gradient_checkpointing} to save memory",
    ),
    Answered(
        "batch_size",
        "max_samples max_train_samples",
        "all rows are used; use {steps}, or a file with fewer rows",
    ),
    Answered("turns", "response_template", ASSISTANT_ONLY),
    Answered(
        "save_steps", "overwrite_output_dir", "a run is never overwritten; use another {name}"
    ),
    Answered(
        "track",
        "logging_dir wandb_project wandb_run_name mlflow_experiment_name",
        TRACKER_NAMES,
    ),
    Answered(
        "save_steps",
        "evals_per_epoch",
        "use {eval_steps}; unset, a run has ten evaluations",
    ),
    Answered(
        "final_weights",
        "early_stopping_patience",
        "a run takes all its steps and keeps the weights that did best; use {final_weights}",
    ),
    Answered(
        "final_weights",
        "metric_for_best_model",
        "the held-out loss decides, in RL the judge or the reward; use {final_weights}",
    ),
    Answered(
        "save_steps",
        "resume_from_checkpoint resume auto_resume",
        "use `upbring resume RUN`, which continues from the last checkpoint",
    ),
    Answered("beta", "loss_type pref_loss", OTHER_LOSS),
    Answered(
        "beta",
        "reference_free",
        "use `upbring orpo` or `upbring simpo`, which need no reference",
    ),
    Answered("epochs", "stage", NO_STAGE),
    Answered(
        "gamma", "gamma_beta_ratio", "use {gamma}, the margin itself: beta × gamma_beta_ratio"
    ),
    Answered(
        "sample_prompts",
        "ref_model ref_model_path reference_model sync_ref_model",
        "the reference is the model that the run starts from, without its adapter; leave it out",
    ),
    Answered(
        "max_length",
        "max_prompt_length prompt_max_len",
        "use {max_length}, which limits prompt and response together",
    ),
    Answered(
        "reward_model",
        "reward_weights",
        "a weight is given with its reward model; use {reward_model=RUN=0.5}",
    ),
    Answered("data", "dataset_dir", "a data set is a path; use {data=FOLDER/FILE.jsonl}"),
    Answered("prompts", "dataset_dir", "a data set is a path; use {prompts=FOLDER/FILE.jsonl}"),
    Answered(
        "chat_template",
        "system default_system system_prompt",
        'a system message belongs to the rows; put it there, as {"role": "system"} or as a column '
        "system",
    ),
    Answered(
        "save_steps", "saves_per_epoch", "use {save_steps}; unset, a run saves ten checkpoints"
    ),
    Answered(
        "save_steps",
        "quiet silent",
        "messages go to standard error; leave it out, or redirect them with 2> FILE",
    ),
    Answered("temperature", "do_sample", "use {temperature}; 0 is greedy decoding"),
    Answered(
        "sample_tokens",
        "do_sample",
        "the responses to sample prompts are decoded greedily; leave it out",
    ),
    Answered(
        "value_model",
        "critic_pretrain value_model_path",
        "the value model starts as a copy of the reward model; use {value_model=adapter} "
        "or {value_model=trunk}",
    ),
    Answered(
        "num_generations", "use_vllm vllm", "rollouts with vLLM are not available yet; leave it out"
    ),
    Answered("epochs", "use_vllm vllm", "training samples nothing with vLLM; leave it out"),
    Answered(
        "clip_range",
        "epsilon_high clip_range_high clip_eps_high",
        "the ratio is clipped by one number on both sides; use {clip_range}",
    ),
    Answered(
        "num_generations",
        "total_episodes num_episodes",
        "use {steps}; the episodes of a step are {batch_size} × {num_generations}",
    ),
    Answered(
        "num_generations",
        "steps_per_generation",
        "use {update_epochs}, how often the responses of a round are trained on",
    ),
    Answered(
        "max_response_length",
        "mask_truncated_completions",
        "a response without an end counts as it is; use {missing_eos_penalty}, or a "
        "larger {max_response_length}",
    ),
    Answered("turns", "loss_type", "the loss is that of the next token; leave it out"),
    Answered(
        "turns",
        "beta",
        "this loss has no reference to stay close to; use `upbring dpo`, or leave it out",
    ),
    Answered("turns", "label_smoothing_factor", "the targets are not smoothed; leave it out"),
    Answered(
        "format",
        "dataset_text_field text_field text_column",
        "columns are found by their names; for others use {format=columns:prompt=A,response=B}",
    ),
    Answered(
        "model",
        "eos_token pad_token",
        "the tokenizer's own tokens are used; put others into the model's folder",
    ),
    Answered("data", "split dataset_split", "a file is one split; give its file"),
    Answered("prompts", "split dataset_split", "a file is one split; give its file"),
)

"""Settings of the training loop."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class TrainSettings(Settings):
    """Steps, optimizer, evaluation and checkpoints."""

    panel: ClassVar[str] = "Training"

    epochs: float = setting(3.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    steps: int | None = setting(None, ge=1, help="Number of optimizer steps; overrides epochs.")
    batch_size: int = setting(
        8, ge=1, help="Examples per optimizer step, on all processes together."
    )
    batch_tokens: int | None = setting(
        None, ge=1, help="Tokens per optimizer step; overrides batch_size."
    )
    micro_batch_tokens: int | None = setting(
        None,
        ge=1,
        help="Tokens per micro-batch. A step is split into micro-batches without changing its "
        "result. Unset: chosen for the model and the machine.",
    )
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = setting(
        "cosine", help="Learning rate schedule after the warm-up."
    )
    min_lr_ratio: float = setting(
        0.1, ge=0, le=1, help="Final learning rate as a share of the peak."
    )
    warmup: float = setting(
        0.03, ge=0, help="Linear warm-up: a number of steps or, below 1, a share of all steps."
    )
    adam_beta1: float = setting(0.9, ge=0, lt=1, help="AdamW β₁: decay rate of the first moment.")
    adam_beta2: float = setting(0.95, ge=0, lt=1, help="AdamW β₂: decay rate of the second moment.")
    adam_epsilon: float = setting(1e-8, gt=0, help="AdamW ε: added to the denominator.")
    weight_decay: float = setting(0.0, ge=0, help="AdamW weight decay, of matrices only.")
    max_grad_norm: float = setting(
        1.0, ge=0, help="Gradient clipping: maximum gradient norm; 0: no clipping."
    )
    gradient_checkpointing: bool = setting(
        default=False, help="Recompute activations in the backward pass: less memory, more time."
    )
    guard: Literal["skip", "stop", "off"] = setting(
        "skip",
        help="What to do with a bad step: its loss or gradient is not finite, or spikes far above "
        "the last steps. skip: skip it and report its rows; after repeated bad steps go back to a "
        "checkpoint once, then stop. stop: stop the run. off: stop only if a value is not finite.",
    )
    seed: int = setting(0, ge=0, help="Random seed. The same seed gives bit-identical results.")
    eval_steps: int | None = setting(
        None,
        ge=1,
        help="Steps between evaluations on held-out data. Unset: ten evaluations per run.",
    )
    save_steps: int | None = setting(
        None, ge=1, help="Steps between checkpoints. Unset: ten checkpoints per run."
    )
    save_total_limit: int = setting(
        2, ge=2, help="Number of latest checkpoints to keep, in addition to the best one."
    )
    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = setting(
        (),
        help="Experiment trackers to log to, on this machine: tensorboard, wandb, mlflow, trackio. "
        "Each is an extra to install, such as upbring[tensorboard].",
    )
    processes: int = setting(
        1,
        ge=1,
        help="Number of data-parallel processes on this machine, which split the examples of each "
        "step. Under torchrun its number of processes is used.",
    )
    name: str | None = setting(
        None, help="Name of the run. Unset: the command and a number, such as sft-1."
    )
    runs: Path = setting(Path("runs"), help="Folder of the runs.")

"""How weights move, and what is kept on the way."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class TrainSettings(Settings):
    """Steps, learning rate, evaluation and checkpoints."""

    panel: ClassVar[str] = "Training"

    epochs: float = setting(3.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    steps: int | None = setting(None, ge=1, help="Steps to take, instead of epochs.")
    batch_size: int = setting(8, ge=1, help="Examples in a step.")
    batch_tokens: int | None = setting(
        None, ge=1, help="Tokens in a step, instead of a number of examples."
    )
    micro_batch_tokens: int | None = setting(
        None,
        ge=1,
        help="Tokens computed at once. It cuts a step into parts and never changes its result. "
        "Unset: chosen from the machine's memory.",
    )
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = setting(
        "cosine", help="How the learning rate falls after the warm-up."
    )
    min_lr_ratio: float = setting(
        0.1, ge=0, le=1, help="Share of the peak learning rate that is left at the end."
    )
    warmup: float = setting(
        0.03, ge=0, help="Steps of linear warm-up; below 1 it is a share of all steps."
    )
    adam_beta1: float = setting(0.9, ge=0, lt=1, help="AdamW: decay of the first moment.")
    adam_beta2: float = setting(0.95, ge=0, lt=1, help="AdamW: decay of the second moment.")
    adam_epsilon: float = setting(1e-8, gt=0, help="AdamW: added to the denominator.")
    weight_decay: float = setting(0.0, ge=0, help="AdamW: decay of matrices, not of vectors.")
    max_grad_norm: float = setting(1.0, ge=0, help="Largest norm of the gradient; 0 never clips.")
    gradient_checkpointing: bool = setting(
        default=False, help="Recompute activations in the backward pass: less memory, more time."
    )
    guard: Literal["skip", "stop", "off"] = setting(
        "skip",
        help="What to do about a step whose loss or gradient is not finite or leaps far above the "
        "last ones. skip leaves it out and tells its rows, goes back to a checkpoint if it happens "
        "again and again, and then stops: one bad row costs one step. stop ends the run at once. "
        "off takes leaps, and stops at what is not finite.",
    )
    seed: int = setting(0, ge=0, help="Seed of every draw. The same seed gives the same bits.")
    eval_steps: int | None = setting(
        None, ge=1, help="Steps between evaluations on held-out data. Unset: ten in a run."
    )
    save_steps: int | None = setting(
        None, ge=1, help="Steps between checkpoints. Unset: ten in a run."
    )
    save_total_limit: int = setting(
        2, ge=2, help="Newest checkpoints to keep; the best is kept besides."
    )
    processes: int = setting(
        1,
        ge=1,
        help="Processes on this machine that learn as one; a step's examples are shared out among "
        "them. Under torchrun its own number counts.",
    )
    name: str | None = setting(None, help="Name of the run. Unset: command and number, as sft-1.")
    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")

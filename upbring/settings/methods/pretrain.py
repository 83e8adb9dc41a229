"""Pre-training."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import StageSettings


class PretrainSettings(StageSettings):
    """Learn to continue documents: next-token loss on plain text."""

    panel: ClassVar[str] = "Pre-training"

    tune: Literal["lora", "full"] = setting(
        "full", help="Train a LoRA adapter, or every weight of the model (full)."
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(16, ge=1, help="Examples in a step.")
    learning_rate: float = setting(1e-3, gt=0, help="Peak learning rate.")
    weight_decay: float = setting(0.1, ge=0, help="AdamW: decay of matrices, not of vectors.")
    max_length: int = setting(
        512, ge=2, help="Context in tokens: longer documents are cut into pieces of this length."
    )
    tokenizer: Path | None = setting(
        None,
        help="Folder with a tokenizer for a model that has none. "
        "Unset: one is trained on the data.",
    )
    vocab_size: int = setting(
        4096, ge=260, help="Pieces of the tokenizer that is trained on the data."
    )
    final_weights: Literal["best", "last"] = setting(
        "last",
        help="Weights to keep at the end: the best on held-out data, or the last.",
    )
    sample_prompts: tuple[str, ...] = setting(
        (), help="Beginnings of documents that are continued at each evaluation."
    )
    sample_tokens: int = setting(64, ge=1, help="Longest of those continuations in tokens.")

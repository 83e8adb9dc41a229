"""Settings of pre-training."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import StageSettings


class PretrainSettings(StageSettings):
    """Pre-training: next-token loss on plain text."""

    panel: ClassVar[str] = "Pre-training"

    tune: Literal["lora", "full"] = setting(
        "full", help="Train a LoRA adapter (lora), or all weights of the model (full)."
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(
        16, ge=1, help="Examples per optimizer step, on all processes together."
    )
    learning_rate: float = setting(1e-3, gt=0, help="Peak learning rate.")
    weight_decay: float = setting(0.1, ge=0, help="AdamW weight decay, of matrices only.")
    max_length: int = setting(
        512,
        ge=2,
        help="Context length in tokens; longer documents are split into pieces of this length.",
    )
    tokenizer: Path | None = setting(
        None,
        help="Folder with a tokenizer, for a model without one. Unset: one is trained on the data.",
    )
    vocab_size: int = setting(
        4096, ge=260, help="Vocabulary size of a tokenizer that is trained on the data."
    )
    final_weights: Literal["best", "last"] = setting(
        "last",
        help="Weights to keep at the end: the best on held-out data, or those of the last step.",
    )
    sample_prompts: tuple[str, ...] = setting(
        (), help="Beginnings of documents to continue at each evaluation."
    )
    sample_tokens: int = setting(64, ge=1, help="Maximum length of these continuations in tokens.")

"""TRL's supervised fine-tuning on a folder of `shapes`, in TRL's own virtual environment.

Prints one JSON line: the loss of each step, the clock at each step's end, and the tokens that were
not padding. `tuned` takes away what slows TRL down here (gradient checkpointing, its number format
where another is asked for); `default` leaves TRL as it comes. Imports nothing of upbring.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import (
    BitsAndBytesConfig,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Note the time."""
        self.times.append(time.time())


class Watched(SFTTrainer):  # type: ignore[misc]  # as above
    """SFTTrainer that keeps the loss of each step in full precision."""

    def __init__(self, *positional: object, **named: object) -> None:
        super().__init__(*positional, **named)
        self.losses: list[float] = []

    def training_step(self, *positional: object, **named: object) -> torch.Tensor:
        """Take the step and note its loss."""
        loss: torch.Tensor = super().training_step(*positional, **named)
        self.losses.append(float(loss))
        return loss


def configuration(given: argparse.Namespace, scratch: str, *, examples: int) -> SFTConfig:
    """Return what both comparisons fix, and for the tuned one what makes TRL fast here."""
    tuned: dict[str, Any] = {}
    if given.dtype != "default":
        is_half = given.dtype == "bfloat16"
        frozen = "bfloat16" if is_half and given.tune == "lora" else "float32"  # as upbring's
        tuned = {
            "bf16": is_half,
            "gradient_checkpointing": False,
            "model_init_kwargs": {"dtype": frozen, **quantized(given)},
        }
    return SFTConfig(
        output_dir=scratch,
        use_cpu=True,
        dataloader_pin_memory=False,  # else it warns that there is no GPU
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1_000_000,
        max_length=None,
        num_train_epochs=1,
        per_device_train_batch_size=examples,
        train_sampling_strategy="sequential",
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        warmup_steps=0,
        adam_beta1=0.9,
        adam_beta2=0.95,
        adam_epsilon=1e-8,
        weight_decay=0.0,
        max_grad_norm=1.0,
        **tuned,
    )


def quantized(given: argparse.Namespace) -> dict[str, Any]:
    """Return how the frozen weights are stored, computing in float32."""
    if getattr(given, "quantization", None) is None:
        return {}
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return {"quantization_config": config}


def rows(folder: Path, order: list[list[int]]) -> Dataset:
    """Return the rows in the order in which they are to be learned from."""
    with (folder / "demonstrations.jsonl").open(encoding="utf-8") as file:
        every = [json.loads(line) for line in file]
    return Dataset.from_list([every[row] for step in order for row in step])


def learn(given: argparse.Namespace) -> dict[str, Any]:
    plan = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Watched(
            model=str(given.folder / "model"),
            args=configuration(given, scratch, examples=len(plan["rows"][0])),
            train_dataset=rows(given.folder, plan["rows"]),
            processing_class=tokenizer(given.folder / "model"),
            peft_config=adapter() if given.tune == "lora" else None,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        if given.tune == "lora":
            set_peft_model_state_dict(trainer.model, load_file(given.folder / "start.safetensors"))
        trainer.train()
    return {
        "losses": trainer.losses,
        "times": clock.times,
        "tokens": trainer._total_train_tokens,  # noqa: SLF001 -- what TRL itself logs as num_tokens
    }


def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the folder's tokenizer as it is, instead of what its kind of model usually has."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def adapter() -> LoraConfig:
    """Return upbring's default adapter."""
    return LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def case(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the arguments of every program of a comparison."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "default"), default="default")
    return parser


if __name__ == "__main__":
    parser = case(__doc__)
    parser.add_argument("--quantization", choices=("nf4",))
    print(json.dumps(learn(parser.parse_args())))

"""TRL's DPO on a folder of `dpo_shapes`, in TRL's own virtual environment.

Prints one JSON line: the loss of each step, the clock at each step's end, and the tokens that were
not padding. With `--precompute` the reference is asked once, before the first step. Imports nothing
of upbring.
"""

import argparse
import json
import tempfile
from typing import Any

import torch
from datasets import Dataset
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer
from trl_sft import Clock, adapter, case, configuration, tokenizer

SHARED = [
    "use_cpu",
    "dataloader_pin_memory",
    "report_to",
    "save_strategy",
    "disable_tqdm",
    "logging_steps",
    "max_length",
    "num_train_epochs",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "max_grad_norm",
    "train_sampling_strategy",
]
TUNED = ["bf16", "gradient_checkpointing", "model_init_kwargs"]


class Counting:
    """A trainer that keeps the loss of each step in full precision, and counts tokens."""

    def __init__(self, *positional: object, **named: object) -> None:
        super().__init__(*positional, **named)
        self.losses: list[float] = []
        self.num_tokens = 0

    def training_step(self, model: Any, inputs: Any, *more: object) -> torch.Tensor:  # noqa: ANN401 -- as above
        """Take the step and note its loss."""
        self.num_tokens += int(inputs["attention_mask"].sum())
        loss: torch.Tensor = super().training_step(model, inputs, *more)  # type: ignore[misc]  # of the trainer beside it
        self.losses.append(float(loss))
        return loss


class Watched(Counting, DPOTrainer):  # type: ignore[misc]  # transformers is not typed
    """DPOTrainer, watched."""


def learn(given: argparse.Namespace) -> dict[str, Any]:
    plan = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))
    with (given.folder / "pairs.jsonl").open(encoding="utf-8") as file:
        rows = Dataset.from_list([json.loads(line) for line in file])
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        config = configuration(given, scratch, examples=plan["pairs"])
        names = SHARED + (TUNED if given.dtype != "default" else [])
        trainer = Watched(
            model=str(given.folder / "model"),
            args=DPOConfig(
                output_dir=scratch,
                beta=0.1,
                per_device_train_batch_size=plan["pairs"],
                precompute_ref_log_probs=given.precompute,
                **{name: getattr(config, name) for name in names},
            ),
            train_dataset=rows,
            processing_class=tokenizer(given.folder / "model"),
            peft_config=adapter() if given.tune == "lora" else None,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        if given.tune == "lora":
            set_peft_model_state_dict(trainer.model, load_file(given.folder / "start.safetensors"))
        trainer.train()
    return {"losses": trainer.losses, "times": clock.times, "tokens": trainer.num_tokens}


if __name__ == "__main__":
    parser = case(__doc__)
    parser.add_argument("--precompute", action="store_true")
    print(json.dumps(learn(parser.parse_args())))

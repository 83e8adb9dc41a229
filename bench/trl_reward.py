"""TRL's reward model on a folder of `dpo_shapes`, in TRL's own virtual environment.

Prints the same JSON line as `trl_dpo`. A ranking of K responses is given as its K(K − 1)/2 pairs,
for TRL knows pairs alone. Adapter and head begin as upbring's do. Imports nothing of upbring.
"""

import argparse
import json
import tempfile
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, PrinterCallback
from trl import RewardConfig, RewardTrainer
from trl_dpo import SHARED, TUNED, Counting
from trl_sft import Clock, case, configuration, tokenizer


class Watched(Counting, RewardTrainer):  # type: ignore[misc]  # transformers is not typed
    """RewardTrainer, watched."""


def adapter() -> LoraConfig:
    """Return upbring's default adapter, and a head that is trained in full."""
    return LoraConfig(
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="SEQ_CLS",
        modules_to_save=["score"],
    )


def learn(given: argparse.Namespace) -> dict[str, Any]:
    plan = json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))
    with (given.folder / "pairs.jsonl").open(encoding="utf-8") as file:
        rows = Dataset.from_list([json.loads(line) for line in file])
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        config = configuration(given, scratch, examples=plan["pairs"])
        names = [n for n in SHARED if n != "max_length"]
        if given.dtype != "default":
            names += [n for n in TUNED if n != "model_init_kwargs"]
        options = {name: getattr(config, name) for name in names}
        kind = (config.model_init_kwargs or {"dtype": "float32"})["dtype"]
        network = AutoModelForSequenceClassification.from_pretrained(
            given.folder / "model", num_labels=1, dtype=kind
        )
        start = load_file(given.folder / "start-reward.safetensors")
        with torch.no_grad():
            network.score.weight.copy_(start["base_model.model.score.weight"])
        trainer = Watched(
            model=network,
            args=RewardConfig(
                output_dir=scratch,
                per_device_train_batch_size=plan["pairs"],
                max_length=None,
                **options,
            ),
            train_dataset=rows,
            processing_class=tokenizer(given.folder / "model"),
            peft_config=adapter() if given.tune == "lora" else None,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        if given.tune == "lora":
            set_peft_model_state_dict(trainer.model, start)
        trainer.train()
    return {"losses": trainer.losses, "times": clock.times, "tokens": trainer.num_tokens}


if __name__ == "__main__":
    print(json.dumps(learn(case(__doc__).parse_args())))

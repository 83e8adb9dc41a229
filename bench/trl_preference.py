"""TRL's losses of preferences on a folder of `dpo_parity`, in TRL's own virtual environment.

Prints one JSON line: the loss of each of its trainers on all rows as one batch, before any step.
DPO, IPO and KTO are TRL's own; ORPO and SimPO (of its CPO trainer) are what it calls experimental.
Imports nothing of upbring.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer


def common(scratch: str, *, count: int) -> dict[str, Any]:
    """Return the settings that all trainers share."""
    return {
        "output_dir": scratch,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "per_device_train_batch_size": count,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_length": None,
    }


def losses(folder: Path, scratch: str) -> Iterator[tuple[str, float]]:
    """Yield the name and the value of each loss."""
    pairs = rows(folder / "pairs.jsonl")
    shared = common(scratch, count=len(pairs))
    dpo = {
        "dpo": {"beta": 0.1},
        "dpo, by means": {"beta": 5.0, "loss_type": "sigmoid_norm"},
        "ipo, by means": {"beta": 0.7, "loss_type": "ipo"},
        "dpo, precomputed": {"beta": 0.1, "precompute_ref_log_probs": True},
    }
    for name, more in dpo.items():
        yield name, of_one_batch(DPOTrainer, DPOConfig(**shared, **more), pairs, folder)
    kto = KTOConfig(**shared, beta=0.2, train_sampling_strategy="sequential")
    yield "kto", of_one_batch(KTOTrainer, kto, rows(folder / "labels.jsonl"), folder)
    simpo = {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.5, "simpo_gamma": 1.4}
    shared["max_length"] = 512
    yield "simpo", of_one_batch(CPOTrainer, CPOConfig(**shared, **simpo), pairs, folder)
    yield "orpo", of_one_batch(ORPOTrainer, ORPOConfig(**shared, beta=0.3), pairs, folder)


def of_one_batch(kind: Any, configuration: Any, data: Dataset, folder: Path) -> float:  # noqa: ANN401 -- transformers is not typed
    """Return a trainer's loss on all rows."""
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    trainer = kind(
        model=model,
        args=configuration,
        train_dataset=data,
        processing_class=PreTrainedTokenizerFast.from_pretrained(folder / "model"),
        peft_config=LoraConfig(
            r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    found = set_peft_model_state_dict(trainer.model, load_file(folder / "adapter.safetensors"))
    assert not found.unexpected_keys, found.unexpected_keys
    trainer.model.eval()
    (batch,) = trainer.get_train_dataloader()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, batch))


def rows(file: Path) -> Dataset:
    """Return the rows of a file."""
    with file.open(encoding="utf-8") as lines:
        return Dataset.from_list([json.loads(line) for line in lines])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(dict(losses(given.folder, scratch))))

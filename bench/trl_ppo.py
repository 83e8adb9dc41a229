"""TRL's PPO on a folder of `ppo_shapes`, in an environment of TRL 1.12, the last that has it.

Prints one JSON line: the clock at each round's end, and the tokens that were to be drawn. `default`
leaves TRL as it comes, but for the sizes that both share. Imports nothing of upbring.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found]  # own room

PROMPTS, RESPONSE, EPOCHS = 16, 64, 4


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Notes when each round ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Note the time."""
        self.times.append(time.time())


def configuration(given: argparse.Namespace, scratch: str, *, count: int) -> PPOConfig:
    """Return what both programs share and, where a precision is asked for, what makes TRL fast."""
    tuned: dict[str, Any] = {}
    if given.precision != "default":
        tuned = {"bf16": given.precision == "bfloat16", "gradient_checkpointing": False}
    return PPOConfig(
        output_dir=scratch,
        use_cpu=True,
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        total_episodes=count,
        per_device_train_batch_size=PROMPTS,
        gradient_accumulation_steps=1,
        num_mini_batches=1,
        num_ppo_epochs=EPOCHS,
        local_rollout_forward_batch_size=PROMPTS,
        response_length=RESPONSE,
        num_sample_generations=0,
        temperature=1.0,
        missing_eos_penalty=1.0,
        learning_rate=5e-5,
        lr_scheduler_type="constant",
        kl_coef=0.05,
        **tuned,
    )


def learn(given: argparse.Namespace) -> dict[str, Any]:
    folder, clock = given.folder, Clock()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model", padding_side="left")
    with (folder / "prompts.jsonl").open(encoding="utf-8") as file:
        asked = [json.loads(line)["prompt"] for line in file]
    rows = [
        tokenizer.apply_chat_template(each, add_generation_prompt=True)["input_ids"]
        for each in asked
    ]

    def classifier() -> Any:  # noqa: ANN401 -- transformers is not typed
        return AutoModelForSequenceClassification.from_pretrained(
            folder / "classifier", num_labels=1, dtype=torch.float32
        )

    is_lora = given.tune == "lora"
    adapter = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
        for _ in range(2)
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = PPOTrainer(
            args=configuration(given, scratch, count=len(rows)),
            processing_class=tokenizer,
            model=policy,
            ref_model=None if is_lora else reference,
            reward_model=classifier(),
            value_model=classifier(),
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            peft_config=adapter if is_lora else None,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return {
        "losses": [],
        "times": clock.times,
        "tokens": len(clock.times) * PROMPTS * RESPONSE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "default"), default="default"
    )
    print(json.dumps(learn(parser.parse_args())))

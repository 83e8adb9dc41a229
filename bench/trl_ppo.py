"""TRL's PPO on a folder of `ppo_shapes`, in an environment of TRL 1.12, the last that has it.

Prints one JSON line: the clock at each round's end, the seconds of its parts, and the tokens that
were drawn. `default` leaves TRL as it comes, but for the sizes that both share. The policy has an
adapter, whose base is the reference; reward and value model are two classifiers, and the latter is
trained in full: `peft_config` is for the policy alone. Imports nothing of upbring.
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
from trl.experimental.ppo import (  # type: ignore[import-not-found]  # own room
    PPOConfig,
    PPOTrainer,
    ppo_trainer,
)

PROMPTS, RESPONSE, EPOCHS = 16, 64, 4


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Notes when each round began to draw, had drawn, began to learn, and ended."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.marks: list[list[float]] = []
        self.draw, self.forward = ppo_trainer.batch_generation, ppo_trainer.forward
        ppo_trainer.batch_generation, ppo_trainer.forward = self.drawn, self.passed

    def drawn(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as TRL has it
        """Draw, and note when."""
        began = time.time()
        found = self.draw(*given, **named)
        self.marks.append([began, time.time()])
        return found

    def passed(self, model: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as TRL has it
        """Pass forward; policy and value together are only passed when they learn."""
        if isinstance(model, ppo_trainer.PolicyAndValueWrapper) and len(self.marks[-1]) == 2:  # noqa: PLR2004 -- drawn
            self.marks[-1].append(time.time())
        return self.forward(model, *given, **named)

    def on_step_end(self, *_: object, **__: object) -> None:
        """Note the time."""
        self.times.append(time.time())

    def parts(self) -> dict[str, list[float]]:
        """Return the seconds of each round and of its parts."""
        rounds = [(*marks, end) for marks, end in zip(self.marks, self.times, strict=True)]
        return {
            "round": [end - began for began, _, _, end in rounds],
            "generation": [drawn - began for began, drawn, _, _ in rounds],
            "scoring": [scored - drawn for _, drawn, scored, _ in rounds],
            "update": [end - scored for _, _, scored, end in rounds],
        }


def configuration(given: argparse.Namespace, scratch: str, *, count: int) -> PPOConfig:
    """Return what both programs share and, where a precision is asked for, what makes TRL fast."""
    tuned: dict[str, Any] = {}
    if given.dtype != "default":
        tuned = {"bf16": given.dtype == "bfloat16", "gradient_checkpointing": False}
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
        "parts": clock.parts(),
        "tokens": sum(map(len, rows)) + len(rows) * RESPONSE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "default"), default="default")
    print(json.dumps(learn(parser.parse_args())))

"""TRL's GRPO on a folder of `real_rows`, in TRL's own virtual environment.

Prints one JSON line: the clock at each step's end, and the tokens of each step's responses, without
padding. The reward is the number of different words, by the
same rule as upbring's. Imports nothing of upbring.
"""

import argparse
import json
import tempfile
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer
from trl_dpo import SHARED, TUNED
from trl_sft import Clock, adapter, case, configuration, tokenizer

PROMPTS, GENERATIONS, RESPONSE = 2, 8, 64  # of a step; tokens at most


def different_words(completions: list[Any], **_: object) -> list[float]:
    """Return the number of different words of each response."""
    return [float(len(set(each[0]["content"].split()))) for each in completions]


class Watched(GRPOTrainer):  # type: ignore[misc]  # transformers is not typed
    """GRPOTrainer that counts the tokens of each step."""

    def __init__(self, *positional: object, **named: object) -> None:
        super().__init__(*positional, **named)
        self.step_tokens: list[int] = []

    def _generate_and_score_completions(self, inputs: Any) -> Any:  # noqa: ANN401 -- as TRL has it
        found = super()._generate_and_score_completions(inputs)
        self.step_tokens.append(int(found["completion_mask"].sum()))
        return found


def learn(given: argparse.Namespace) -> dict[str, Any]:
    with (given.folder / "prompts.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    steps = len(json.loads((given.folder / "plan.json").read_text(encoding="utf-8"))["rows"])
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        config = configuration(given, scratch, examples=PROMPTS * GENERATIONS)
        left_out = {"max_length", "train_sampling_strategy", "num_train_epochs"}
        names = [n for n in SHARED if n not in left_out]
        names += TUNED if given.dtype != "default" else []
        trainer = Watched(
            model=str(given.folder / "model"),
            reward_funcs=different_words,
            args=GRPOConfig(
                output_dir=scratch,
                max_steps=steps,
                per_device_train_batch_size=PROMPTS * GENERATIONS,
                num_generations=GENERATIONS,
                max_completion_length=RESPONSE,
                beta=0.05,
                **{name: getattr(config, name) for name in names},
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer(given.folder / "model"),
            peft_config=adapter() if given.tune == "lora" else None,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return {"losses": [], "times": clock.times, "step_tokens": trainer.step_tokens[:steps]}


if __name__ == "__main__":
    print(json.dumps(learn(case(__doc__).parse_args())))

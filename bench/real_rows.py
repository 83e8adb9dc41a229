"""Inputs for the bench of a real model: its folder, and rows of real data in each tool's form.

The weights are linked, the tokenizer is copied, and the chat template is one whose answers end with
the stop token and nothing after it, so that both tools learn from the same tokens. A pad token that
also ends answers is replaced: TRL's classifier would read the score one token early. Rows of more
than `--max-length` tokens are left out.
"""

import argparse
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shapes import order, write_start
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from upbring.data.read import formats
from upbring.data.read.records import Comparison, Demonstration

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' "
    "+ ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] "
    "+ '<end_of_turn>' }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
TEMPLATES = {"<|im_end|>": CHATML, "<end_of_turn>": GEMMA}  # by the token that ends an answer
EXAMPLES = 8  # of a step

Messages = list[dict[str, str]]


def write_model(source: Path, folder: Path) -> PreTrainedTokenizerFast:
    """Write a model's folder with the template of its tokens, and return its tokenizer."""
    folder.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix == ".safetensors":
            (folder / path.name).symlink_to(path.resolve())
        elif path.name != "chat_template.jinja":
            shutil.copyfile(path, folder / path.name)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    vocabulary = tokenizer.get_vocab()
    end = next(token for token in TEMPLATES if token in vocabulary)
    tokenizer.chat_template = TEMPLATES[end]
    tokenizer.eos_token = end
    if tokenizer.pad_token in {None, end}:
        tokenizer.pad_token = next(t for t in ("<|endoftext|>", "<pad>") if t in vocabulary)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        values |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        (folder / name).write_text(json.dumps(values, indent=2), encoding="utf-8")
    return tokenizer


class Rows:
    """Rows that fit, with their numbers of tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_length: int, count: int) -> None:
        self.tokenizer, self.max_length, self.count = tokenizer, max_length, count

    def length(self, messages: Sequence[Mapping[str, str]]) -> int:
        """Return the number of tokens of a dialogue."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def demonstrations(self, file: Path) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield demonstrations of one turn, and their lengths."""
        for record in formats.read_records(file, Demonstration):
            messages = [{"role": m.role, "content": m.content} for m in record.messages]
            if [m["role"] for m in messages] == ["user", "assistant"]:
                row = {"prompt": messages[:1], "completion": messages[1:]}
                if (length := self.length(messages)) <= self.max_length:
                    yield row, length

    def comparisons(self, file: Path) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield rankings of two responses, and the tokens of both with their prompt."""
        for record in formats.read_records(file, Comparison):
            prompt = [{"role": m.role, "content": m.content} for m in record.prompt]
            if record.ranks not in {(1, 2), (0, 1)}:
                continue
            said = [[*prompt, {"role": "assistant", "content": r}] for r in record.responses]
            lengths = [self.length(each) for each in said]
            if max(lengths) <= self.max_length:
                row = {"prompt": prompt, "responses": list(record.responses), "ranks": [1, 2]}
                yield row, sum(lengths)

    def take(self, rows: Iterator[tuple[dict[str, Any], int]]) -> tuple[list[Any], list[int]]:
        """Return as many rows as are needed, and their lengths."""
        found = list(itertools.islice(rows, self.count))
        if len(found) < self.count:
            raise SystemExit(f"only {len(found)} rows fit, and {self.count} are needed")
        return [row for row, _ in found], [length for _, length in found]


def write(given: argparse.Namespace) -> None:
    """Write everything that a bench of `steps` steps needs."""
    tokenizer = write_model(given.model, given.folder / "model")
    network = AutoModelForCausalLM.from_pretrained(given.model, dtype="float32")
    write_start(given.folder / "start.safetensors", network)
    write_start(given.folder / "start-reward.safetensors", network, role="reward")
    rows = Rows(tokenizer, given.max_length, given.steps * EXAMPLES)
    steps = order(rows.count, given.steps, EXAMPLES)
    plan: dict[str, Any] = {"rows": steps, "pairs": EXAMPLES}
    if given.method in {"sft", "grpo"}:
        written, lengths = rows.take(rows.demonstrations(given.data))
        write_lines(given.folder / "demonstrations.jsonl", written)
        prompts = [{"prompt": row["prompt"]} for row in written]
        write_lines(given.folder / "prompts.jsonl", prompts)
    else:
        written, lengths = rows.take(rows.comparisons(given.data))
        write_lines(given.folder / "rankings.jsonl", written)
        ordered = [written[i] for step in steps for i in step]
        write_lines(given.folder / "pairs.jsonl", [pair(row) for row in ordered])
    plan["tokens"] = [sum(lengths[i] for i in step) for step in steps]
    (given.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ranking of two as TRL reads it."""
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in row["responses"])
    return {"prompt": row["prompt"], "chosen": chosen, "rejected": rejected}


def write_lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="demonstrations or comparisons")
    parser.add_argument("--method", choices=["sft", "reward", "dpo", "grpo"], required=True)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--max-length", type=int, default=512)
    write(parser.parse_args())

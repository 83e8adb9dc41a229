"""Two harms of training on a real model, each with its cure, as recipes that run unattended.

`forgetting`: SFT on PubMedQA with all weights, with LoRA, and with LoRA and 20 % general
demonstrations; accuracy on held-out questions of the domain, and perplexity of held-out prose and
of Python source before and after.

`hacking`: PPO against a reward model with β = 0, β > 0, and β > 0 with 20 % demonstrations; the
reward that is trained against, that of a judge trained on other preferences, length, over-refusal.

The folder gets a recipe and its data; `upbring run` is started on it, and again after an
interruption. Results are in `report.html` and `report.json` there.

    python bench/cures.py forgetting --model ./gemma --to out --pubmedqa pubmedqa.jsonl.gz \
--demonstrations dolly.json --prose prose.txt
    python bench/cures.py hacking --model ./smollm2 --to out --data ./data
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from upbring.data.read.rows import read_rows
from upbring.pipeline.case_data import MAX_DOCUMENT_CHARACTERS, make_case_files, python_sources

NUM_HELD_OUT = 100  # questions of the domain
DECISIONS = ("yes", "no", "maybe")

FORGETTING = """
model: {model}
defaults: {{seed: 0, max_length: 512, batch_size: 8, epochs: {epochs}, eval_steps: 25}}
stages:
  general: {{method: sft, data: {to}/demonstrations.jsonl, steps: {steps}, learning_rate: 2e-4}}
  full: {{method: sft, model: general, data: {to}/domain.jsonl, tune: full, learning_rate: 2e-5}}
  lora: {{method: sft, model: general, data: {to}/domain.jsonl, learning_rate: 2e-4}}
  replay:
    method: sft
    model: general
    data: {to}/domain.jsonl
    mix: {to}/demonstrations.jsonl=0.2
    learning_rate: 2e-4
evaluate:
  models: [general, full, lora, replay]
  data: [{to}/questions.jsonl, {to}/prose.jsonl, {to}/python.jsonl]
  suite: facts, forgetting
  max_tokens: 8
"""

HACKING = """
model: {model}
defaults: {{seed: 0, max_length: 512, batch_size: 8}}
stages:
  reward:
    data: {to}/preferences.jsonl
    held_out: {to}/held_out_preferences.jsonl
    epochs: {epochs}
    learning_rate: 2e-4
  judge:
    method: reward
    data: {to}/judge_preferences.jsonl
    held_out: {to}/held_out_preferences.jsonl
    epochs: {epochs}
    learning_rate: 2e-4
{ppo}
evaluate:
  models: [base, free, bound, replay]
  data: [{to}/held_out_prompts.jsonl, {to}/xstest.jsonl, {to}/prose.jsonl, {to}/python.jsonl]
  suite: preference, refusals, forgetting
  judge: judge
  max_tokens: 64
"""

PPO = """
  {name}:
    method: ppo
    reward_model: reward
    judge: judge
    prompts: {to}/demonstrations.jsonl
    max_response_length: 64
    num_generations: 2
    steps: {steps}
    eval_prompts: 16
    learning_rate: 2e-4
    kl_coef: {beta}
    final_weights: last
"""


def write_lines(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def domain_rows(file: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return PubMedQA's training rows, and its held-out questions with their wrong answers."""
    demonstrations: list[dict[str, object]] = []
    questions: list[dict[str, object]] = []
    for number, row in enumerate(read_rows(file)):
        fields = row.fields
        contexts, decision = fields["CONTEXTS"], str(fields["final_decision"])
        assert isinstance(contexts, list), "PubMedQA has a list of contexts"
        prompt = f"{' '.join(map(str, contexts))[:1200]}\n\n{fields['QUESTION']}"
        if number < NUM_HELD_OUT:
            others = [each for each in DECISIONS if each != decision]
            messages = [{"role": "user", "content": prompt}]
            questions.append({"prompt": messages, "answer": decision, "alternatives": others})
        else:
            answer = f"{decision}. {fields['LONG_ANSWER']}"
            demonstrations.append({"prompt": prompt, "completion": answer})
    return demonstrations, questions


def write_forgetting(given: argparse.Namespace) -> str:
    """Write the data of the experiment on forgetting, and return its recipe."""
    demonstrations, questions = domain_rows(given.pubmedqa)
    write_lines(given.to / "domain.jsonl", demonstrations)
    write_lines(given.to / "questions.jsonl", questions)
    general = [dict(row.fields) for row in read_rows(given.demonstrations)]
    write_lines(given.to / "demonstrations.jsonl", general)
    text = given.prose.read_text(encoding="utf-8")
    starts = range(0, min(len(text), 40 * MAX_DOCUMENT_CHARACTERS), MAX_DOCUMENT_CHARACTERS)
    passages = [{"text": text[start : start + MAX_DOCUMENT_CHARACTERS]} for start in starts]
    write_lines(given.to / "prose.jsonl", passages)
    write_lines(given.to / "python.jsonl", [{"text": each} for each in python_sources()])
    return FORGETTING


def write_hacking(given: argparse.Namespace) -> str:
    """Write the data of the experiment on reward hacking, and return its recipe."""
    for name, text in make_case_files("assistant", given.data).items():
        (given.to / name).write_text(text, encoding="utf-8")
    stages = [
        PPO.format(name=name, beta=beta, to=given.to, steps=given.steps)
        for name, beta in (("free", 0.0), ("bound", given.beta), ("replay", given.beta))
    ]
    stages[-1] += f"    mix: {given.to}/demonstrations.jsonl=0.2\n"
    return HACKING.replace("{ppo}", "".join(stages).replace("{", "{{").replace("}", "}}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=["forgetting", "hacking"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--to", type=Path, required=True, help="new folder, or one to resume")
    parser.add_argument("--pubmedqa", type=Path)
    parser.add_argument("--demonstrations", type=Path)
    parser.add_argument("--prose", type=Path)
    parser.add_argument("--data", type=Path, help="as for `upbring init --case assistant`")
    parser.add_argument("--steps", type=int, default=60, help="of general SFT, or of PPO")
    parser.add_argument("--epochs", type=int, default=1, help="of domain SFT, or of rewards")
    parser.add_argument("--beta", type=float, default=0.05, help="strength of the KL constraint")
    parser.add_argument("--write-only", action="store_true")
    given = parser.parse_args()
    recipe = given.to / "recipe.yaml"
    if not recipe.is_file():
        given.to.mkdir(parents=True, exist_ok=True)
        write = write_forgetting if given.experiment == "forgetting" else write_hacking
        text = write(given).format(
            model=given.model, to=given.to, epochs=given.epochs, steps=given.steps
        )
        recipe.write_text(text.lstrip(), encoding="utf-8")
    if not given.write_only:
        command = [sys.executable, "-m", "upbring", "run", str(recipe)]
        sys.exit(subprocess.run(command, check=False).returncode)

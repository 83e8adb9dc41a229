"""Loads models with transformers and peft only, in a separate process without upbring.

    plain_reader.py JOBS.json      prints each job's result as JSON

A job is {"model": folder, "adapter": folder or null, "texts": [[token, …], …]} and returns the
log-probability of every token but the first; or {"tokenizer": folder, "messages": […]}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig


def logprobs(job: dict[str, Any]) -> list[list[float]]:
    network = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    if job["adapter"]:
        network = PeftModel.from_pretrained(network, job["adapter"])
    network.eval()
    result = []
    for text in job["texts"]:
        tokens = torch.tensor([text])
        with torch.no_grad():
            logits = network(input_ids=tokens).logits[0, :-1].float()
        result.append(logits.log_softmax(-1).gather(-1, tokens[0, 1:, None])[:, 0].tolist())
    return result


def chat_format(job: dict[str, Any]) -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    rendered = [
        tokenizer.apply_chat_template(
            job["messages"], tokenize=False, add_generation_prompt=is_open
        )
        for is_open in (False, True)
    ]
    tokens = tokenizer(rendered[0], add_special_tokens=False)["input_ids"]
    ends = GenerationConfig.from_pretrained(job["tokenizer"]).eos_token_id
    return {"rendered": rendered, "tokens": tokens, "eos": ends}


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = [chat_format(job) if "tokenizer" in job else logprobs(job) for job in jobs]
    assert "upbring" not in sys.modules
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()

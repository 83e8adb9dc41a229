"""Reads models as a stranger would: transformers and peft alone, in a process of their own.

    plain_reader.py JOBS.json      prints as JSON what each job found

A job is {"model": folder, "adapter": folder or null, "texts": [[token, …], …]} and gives the
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
    found = []
    for text in job["texts"]:
        tokens = torch.tensor([text])
        with torch.no_grad():
            logits = network(input_ids=tokens).logits[0, :-1].float()
        found.append(logits.log_softmax(-1).gather(-1, tokens[0, 1:, None])[:, 0].tolist())
    return found


def speech(job: dict[str, Any]) -> dict[str, Any]:
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
    found = [speech(job) if "tokenizer" in job else logprobs(job) for job in jobs]
    assert "upbring" not in sys.modules
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

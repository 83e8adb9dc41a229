"""Reads reward models as a stranger would: transformers and peft alone, in a process of their own.

    plain_scorer.py JOBS.json      prints as JSON what each job found

A job is {"model": folder, "adapter": folder or null, "texts": [[token, …], …]} and gives the logit
of every text, read alone and in one batch that the tokenizer's padding fills up.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer


@torch.no_grad()
def scores(job: dict[str, Any]) -> dict[str, Any]:
    network = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=1, dtype=torch.float32
    )
    if job["adapter"]:
        network = PeftModel.from_pretrained(network, job["adapter"])
    network.eval()
    tokenizer = AutoTokenizer.from_pretrained(job["adapter"] or job["model"])
    pad = tokenizer.pad_token_id
    found = {"pad": pad, "pad_text": tokenizer.pad_token, "is_whole": job["adapter"] is None}
    found["config_pad"] = network.config.pad_token_id
    if job["adapter"]:
        network.config.pad_token_id = pad
    texts = [torch.tensor([text]) for text in job["texts"]]
    found["alone"] = [float(network(input_ids=text).logits[0, 0]) for text in texts]
    tokenizer.padding_side = "right"
    batch = tokenizer.pad({"input_ids": job["texts"]}, return_tensors="pt")
    found["filled"] = network(**batch).logits[:, 0].tolist()
    return found


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = [scores(job) for job in jobs]
    assert "upbring" not in sys.modules
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

"""Loads reward models with transformers and peft only, in a separate process without upbring.

    plain_scorer.py JOBS.json      prints each job's result as JSON

A job is {"model": folder, "adapter": folder or null, "texts": [[token, …], …]} and returns the
logit of every text, computed alone and in one padded batch.
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
    result = {"pad": pad, "pad_text": tokenizer.pad_token, "is_whole": job["adapter"] is None}
    result["config_pad"] = network.config.pad_token_id
    if job["adapter"]:
        network.config.pad_token_id = pad
    texts = [torch.tensor([text]) for text in job["texts"]]
    result["alone"] = [float(network(input_ids=text).logits[0, 0]) for text in texts]
    tokenizer.padding_side = "right"
    batch = tokenizer.pad({"input_ids": job["texts"]}, return_tensors="pt")
    result["filled"] = network(**batch).logits[:, 0].tolist()
    return result


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = [scores(job) for job in jobs]
    assert "upbring" not in sys.modules
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()

"""The program that reads an export as its users do: with transformers or peft, without upbring.

    python plain_outputs.py JOBS.json      writes the outputs of each job to its folder `to`

A job has `folder` (the export), `library`, `base` (the folder of an adapter's base), `is_reward`,
`sequences` of tokens, `dialogues` or `texts` for the tokenizer, and `to`. Of a language model the
outputs are log-probabilities in float32: of each token but the first, and of every token after the
last; of a reward model the scores.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's usual short name
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

TENSORS, TOKENS = "outputs.safetensors", "tokens.json"
Job = dict[str, Any]


def load_network(job: Job) -> nn.Module:
    """Return the exported network in float32: a language model or a classifier with one class."""
    model_class = AutoModelForSequenceClassification if job["is_reward"] else AutoModelForCausalLM
    folder = job["folder"] if job["library"] == "transformers" else job["base"]
    network: nn.Module = model_class.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        **({"num_labels": 1} if job["is_reward"] else {}),
    )
    if job["library"] == "peft":
        from peft import PeftModel  # noqa: PLC0415 -- takes seconds

        network.config.pad_token_id = None  # type: ignore[union-attr]  # the rows come one by one
        network = PeftModel.from_pretrained(network, job["folder"])
    if job["library"] == "mlx-lm":
        add_mlx_adapter(network, Path(job["folder"]))
    return network.eval()


@torch.no_grad()
def add_mlx_adapter(network: nn.Module, folder: Path) -> None:
    """Add an adapter of mlx-lm to the weights: W + s · (A B)ᵀ with A `[in, r]` and B `[r, out]`."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapters.safetensors")
    for name in sorted(key.removesuffix(".lora_a") for key in tensors if key.endswith(".lora_a")):
        product = tensors[f"{name}.lora_a"] @ tensors[f"{name}.lora_b"]
        weight = network.get_submodule(name).weight
        assert isinstance(weight, Tensor), f"{name} has no weight"
        weight += config["lora_parameters"]["scale"] * product.T


@torch.no_grad()
def compute_outputs(network: nn.Module, sequence: list[int], *, is_reward: bool) -> Tensor:
    """Return the log-probabilities `[T − 1 + V]` of a sequence, or its score `[1]`."""
    tokens = torch.tensor([sequence])
    logits = network(input_ids=tokens).logits[0].float()  # [T, V], or a score [1]
    if is_reward:
        return torch.as_tensor(logits)
    logprobs = F.log_softmax(logits, -1)
    return torch.cat([logprobs[:-1].gather(-1, tokens[0, 1:, None])[:, 0], logprobs[-1]])


def encode_all(job: Job) -> list[list[int]]:
    """Return the tokens of the dialogues, rendered with the template, and of the texts."""
    texts = list(job["texts"])
    if not texts and not job["dialogues"]:
        return []
    tokenizer = AutoTokenizer.from_pretrained(job["folder"], local_files_only=True)
    texts += [
        tokenizer.apply_chat_template(dialogue, tokenize=False, add_generation_prompt=True)
        for dialogue in job["dialogues"]
    ]
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def main() -> None:
    """Run the jobs of a file."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        network = load_network(job)
        outputs = {
            str(number): compute_outputs(network, sequence, is_reward=job["is_reward"])
            for number, sequence in enumerate(job["sequences"])
        }
        save_file(outputs, Path(job["to"]) / TENSORS)
        (Path(job["to"]) / TOKENS).write_text(json.dumps(encode_all(job)), encoding="utf-8")
    assert "upbring" not in sys.modules, "this program must not import upbring"


if __name__ == "__main__":
    main()

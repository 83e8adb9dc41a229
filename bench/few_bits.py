"""Memory of training on 4-bit weights: an 8-billion-parameter Llama shape with random weights.

The model is written shard by shard (bfloat16, 16 GB for `8b`), so that the writer needs little
memory. Then one SFT step and one DPO step of 512 tokens, rank 8 on q and v, run in processes of
their own; the peak of each is what the system saw, beside what `upbring plan` says. `--write-only`
and `--only sft` split the work.

    python bench/few_bits.py --to FOLDER --shape 8b --quantization nf4
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from results import Figure, add_record_flag, record
from safetensors.torch import save_file
from shapes import write_tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPES = {
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
    "3b": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28},
    "wide": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 8},
    "tiny": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2},
}
VOCABULARY = 128_256
SMALL_VOCABULARY = 16_384  # of the small shapes
BLOCK = 2**24  # random numbers, which are repeated from another place in each tensor
TOKENS = 512
WORDS = {"sft": TOKENS - 5, "dpo": (TOKENS - 10) // 2}  # without the template's markers
MOST = 0.2  # how far off a plan may be
MEMORY = re.compile(r"memory: about ([\d.,]+) ([MG]B)")


@dataclass(frozen=True)
class Taken:
    """The peak memory of a command and of its plan, in GB, and its seconds."""

    method: str
    peak: float
    planned: float
    trainable: str


def vocabulary(shape: str) -> int:
    """Return the size of the vocabulary of a shape."""
    return VOCABULARY if shape in {"8b", "3b"} else SMALL_VOCABULARY


def configuration(shape: str) -> LlamaConfig:
    """Return the configuration of a shape, with Llama 3's heads and vocabulary."""
    width = SHAPES[shape]["hidden_size"]
    return LlamaConfig(
        **SHAPES[shape],
        num_attention_heads=width // 128,
        num_key_value_heads=8 if width >= 1024 else 2,  # noqa: PLR2004 -- the test's tiny shape
        vocab_size=vocabulary(shape),
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        dtype=torch.bfloat16,
    )


def tensors(config: LlamaConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights by name: normal, of deviation 0.02; the norms are 1."""
    generator = torch.Generator().manual_seed(0)
    block = torch.empty(BLOCK).normal_(0, 0.02, generator=generator).to(torch.bfloat16)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    for number, (name, parameter) in enumerate(network.state_dict().items()):
        if parameter.ndim == 1:
            yield name, torch.ones(parameter.shape, dtype=torch.bfloat16)
            continue
        start = 7919 * number % (BLOCK // 2)
        repeats = 1 + (start + parameter.numel()) // BLOCK
        yield name, block.repeat(repeats)[start:][: parameter.numel()].view(parameter.shape).clone()


def write_model(folder: Path, shape: str, *, shard_bytes: int = 2**30) -> None:
    """Write a model in shards of about `shard_bytes`, each freed before the next one is made."""
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(shape)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    write_tokenizer(folder, vocabulary(shape))
    weight_map: dict[str, str] = {}
    shard: dict[str, Tensor] = {}

    def flush() -> None:
        if shard:
            name = f"model-{len(set(weight_map.values())) + 1:05}.safetensors"
            save_file(shard, folder / name, metadata={"format": "pt"})
            weight_map.update(dict.fromkeys(shard, name))
            shard.clear()

    for name, tensor in tensors(config):
        shard[name] = tensor
        if sum(each.numel() * each.element_size() for each in shard.values()) >= shard_bytes:
            flush()
    flush()
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_rows(folder: Path) -> None:
    """Write a demonstration and a pair of responses, each of 512 tokens in all."""
    text = [" ".join(f"w{(37 * i + 11 * seed) % 9973}" for i in range(600)) for seed in range(3)]

    def words(seed: int, count: int) -> str:
        return " ".join(text[seed].split()[:count])

    half, third = WORDS["sft"] // 2, WORDS["dpo"] // 2
    demonstration = {"prompt": words(0, half), "completion": words(1, WORDS["sft"] - half)}
    pair = {
        "prompt": words(0, 8),
        "chosen": words(1, 2 * third - 8),
        "rejected": words(2, 2 * third),
    }
    for name, row in (("sft", demonstration), ("dpo", pair)):
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")


def command(given: argparse.Namespace, method: str, runs: str) -> list[str]:
    """Return the command line of one step."""
    options = {
        "--model": given.to / given.shape,
        "--quantization": given.quantization,
        "--dtype": given.dtype,
        "--rank": 8,
        "--target-modules": "q_proj,v_proj",
        "--steps": 1,
        "--batch-size": 1,
        "--held-out-share": 0,
        "--max-length": TOKENS,
        "--sample-tokens": 1,
        "--gradient-checkpointing": "true",
        "--runs": runs,
        "--name": method,
    }
    words = [str(word) for option in options.items() for word in option]
    return [method, str(given.to / f"{method}.jsonl"), *words]


def run(words: Sequence[str], cache: str) -> tuple[str, float]:
    """Run `upbring` and return its output, and its peak memory in GB."""
    with tempfile.TemporaryFile("w+") as out:
        environment = {**os.environ, "UPBRING_CACHE": cache}
        child = subprocess.Popen(
            [sys.executable, "-m", "upbring", *words], env=environment, stdout=out, stderr=out
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if child.returncode:
        sys.exit(f"upbring {' '.join(words)} failed:\n{text[-4000:]}")
    return text, usage.ru_maxrss * 1024 / 1e9


def measure(given: argparse.Namespace, method: str) -> Taken:
    """Plan and run one step."""
    with tempfile.TemporaryDirectory() as scratch:
        words = command(given, method, scratch)
        planned, _ = run(["plan", *words], scratch)
        print(planned, flush=True)
        size, unit = MEMORY.search(planned).groups()  # type: ignore[union-attr]  # a plan has it
        text, peak = run(words, scratch)
        print(text, flush=True)
    scale = 1 if unit == "GB" else 1e-3
    found = Taken(method, peak, float(size.replace(",", "")) * scale, planned.splitlines()[0])
    print(f"{method}: {found.peak:.2f} GB, planned {found.planned:.2f} GB; {found.trainable}")
    return found


def figures(given: argparse.Namespace, taken: Sequence[Taken]) -> list[Figure]:
    """Return peak and planned memory of each method."""
    model = f"Llama {given.shape} shape, {given.quantization}, rank 8 on q and v"
    return [
        Figure(
            question="planning accuracy",
            metric=f"{kind}: {each.method}, 512 tokens",
            value=round(value, 2),
            unit="GB",
            model=model,
            precision=given.dtype,
        )
        for each in taken
        for kind, value in (("peak memory", each.peak), ("planned memory", each.planned))
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True, help="folder of the model and its rows")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="8b")
    parser.add_argument("--quantization", choices=["nf4", "int8", "none"], default="nf4")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--only", choices=["sft", "dpo"])
    parser.add_argument("--write-only", action="store_true")
    add_record_flag(parser)
    given = parser.parse_args()
    if not (given.to / given.shape / "model.safetensors.index.json").is_file():
        write_model(given.to / given.shape, given.shape)
    write_rows(given.to)
    if not given.write_only:
        taken = [measure(given, m) for m in ("sft", "dpo") if given.only in {None, m}]
        if given.record:
            record(figures(given, taken), threads=None)
        if any(abs(each.planned / each.peak - 1) > MOST for each in taken):
            sys.exit(f"a plan is more than {MOST:.0%} off")

"""Runs of each kind, their exports, and their outputs in plain transformers and peft."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from tests.commands import QUICK, done, prepare
from upbring.data.chat.tokenizer_files import load_tokenizer, save_tokenizer
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.export.export_model import export_model
from upbring.model.load import LoadedModel, load
from upbring.model.score import score_tokens
from upbring.settings.commands.export import ExportSettings

TEXTS = [[5, 17, 300, 4, 9, 11, 200, 31], [40, 41, 42], [7, 299, 8, 298, 9, 297]]
MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "  What is the sky like?\n"},
    {"role": "assistant", "content": "It is blue."},
    {"role": "user", "content": "<|endoftext|>?"},
]
BASES = {"gpt": "g", "gpt-two": "g", "gpt-full": "g"}


@dataclass(frozen=True)
class Exported:
    """A folder with runs and exports, and their outputs in a process without upbring."""

    folder: Path
    outputs: dict[str, Any]

    def load(self, run: str) -> LoadedModel:
        """Return a run's model as upbring loads it."""
        cpu = torch.device("cpu")
        return load(
            str(self.folder / "runs" / run),
            device=cpu,
            compute_dtype=torch.float32,
            log=lambda _: None,
        )

    def upbring_logprobs(self, run: str) -> list[float]:
        """Return the log-probabilities of a run's model as upbring computes them."""
        batch = make_batch([make_tree(text[:1], text[1:]) for text in TEXTS])
        with torch.no_grad():
            logprobs: list[float] = score_tokens(self.load(run).model, batch).logprobs.tolist()
        return logprobs

    def hf_logprobs(self, name: str) -> list[float]:
        """Return the log-probabilities that transformers or peft computes."""
        return [value for text in self.outputs[name] for value in text]


def make_gpt2(folder: Path, like: Path) -> None:
    """Write a tiny GPT-2, with transposed weight matrices and tied embeddings."""
    tokenizer = load_tokenizer(like)
    config = GPT2Config(
        vocab_size=320,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def train_all(folder: Path) -> None:
    """Train a run of each kind."""
    make_gpt2(folder / "g", folder / "m")
    sft = ("sft", "d.jsonl", *QUICK)
    for name, model, *more in (
        ("one", "m"),
        ("two", "runs/one", "--rank", "4", "--alpha", "3", "--target-modules", "q_proj,up_proj"),
        ("rs", "m", "--rslora"),
        ("full", "m", "--tune", "full"),
        ("upon-full", "runs/full"),
        ("dora", "m", "--dora"),
        ("stacked", "runs/dora"),  # whole weights
        ("gpt", "g"),
        ("gpt-two", "runs/gpt"),
        ("gpt-full", "g", "--tune", "full"),
    ):
        done(folder, *sft, "--model", model, "--name", name, *more)


def unchecked(*_: object, **__: object) -> float:
    """Stand in for the check of an export: all are read by one process, later."""
    return 0.0


def write_export(folder: Path, run: str, to: str, **settings: Any) -> list[str]:
    """Export a run without its own check, and return the lines of its log."""
    lines: list[str] = []
    with contextlib.chdir(folder):
        export_model(
            ExportSettings(run=f"runs/{run}", to=Path(to), **settings),
            log=lines.append,
            check=unchecked,
        )
    return lines


def read_all(folder: Path, jobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the outputs that a process without upbring computes."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(list(jobs.values())))
    program = Path(__file__).with_name("plain_reader.py")
    result = subprocess.run(
        [sys.executable, str(program), str(file)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(zip(jobs, json.loads(result.stdout), strict=True))


def make_exported(folder: Path) -> Exported:
    """Train and export in `folder`, and compute all outputs without upbring."""
    prepare(folder)
    train_all(folder)
    jobs: dict[str, dict[str, Any]] = {}

    def add_job(name: str, model: str, adapter: str | None = None) -> None:
        adapter_folder = None if adapter is None else str(folder / adapter)
        jobs[name] = {"model": str(folder / model), "adapter": adapter_folder, "texts": TEXTS}

    for run in ("one", "two", "rs", "dora", "gpt", "gpt-two"):
        add_job(f"runs/{run}", BASES.get(run, "m"), f"runs/{run}/model")
    add_job("runs/upon-full", "runs/full/model", "runs/upon-full/model")
    for run in ("full", "gpt-full"):
        add_job(f"runs/{run}", f"runs/{run}/model")
    for run in ("one", "two", "dora", "full", "gpt-two", "gpt-full", "stacked"):
        write_export(folder, run, f"out/merged-{run}")
        add_job(f"merged/{run}", f"out/merged-{run}")
    write_export(folder, "one", "out/bf", dtype="bfloat16")
    add_job("bfloat16/one", "out/bf")
    write_export(folder, "two", "out/shards", shard_size="40KB")
    add_job("shards/two", "out/shards")
    for run in ("one", "two", "gpt-two", "dora"):
        write_export(folder, run, f"out/adapter-{run}", as_="peft")
        add_job(f"adapter/{run}", BASES.get(run, "m"), f"out/adapter-{run}")
    write_export(folder, "two", "out/mlx-two", as_="mlx-adapter")
    for name in ("runs/one/model", "out/merged-two", "out/adapter-two"):
        jobs[name] = {"tokenizer": str(folder / name), "messages": MESSAGES}
    return Exported(folder, read_all(folder, jobs))

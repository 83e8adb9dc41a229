"""Losses of preferences by TRL 1.16 and by upbring: the same rows, model, adapter and reference.

DPO, DPO and IPO by means over tokens (TRL's IPO knows no other), DPO with TRL's precomputed
reference, KTO, SimPO, ORPO, each on one batch in float32, from an adapter that has moved. All must
agree to 1e-5. Two things are made alike first: TRL pairs a prompt with the response of the row
before it to estimate KTO's divergence and upbring with that of the row after it, so TRL gets the
rows in the opposite order; and TRL's ORPO learns the prompt's tokens, too, which are added here.

    python bench/dpo_parity.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import Figure, add_record_flag, record
from safetensors.torch import save_file
from shapes import SPECIALS, write_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig
from trl_environment import python as trl_python

from upbring.algorithms.dpo import Dpo
from upbring.algorithms.ipo import Ipo
from upbring.algorithms.kto import Kto
from upbring.algorithms.orpo import Orpo
from upbring.algorithms.preference import PreferenceAlgorithm
from upbring.algorithms.simpo import Simpo
from upbring.data.chat.chat import make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read.records import Message
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree, make_tree
from upbring.model.load import LoadedModel, load
from upbring.model.packing import make_micro_batches
from upbring.model.roles import BASE
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings
from upbring.stages.preference import KtoTrees
from upbring.stages.reference_logprobs import ReferenceLogprobs
from upbring.train.gradient import accumulate

TOLERANCE = 1e-5
VOCABULARY = 200
NUM_ROWS = 8
POLICY = "policy"
LOSSES = {  # as records name them
    "dpo": "DPO",
    "dpo, precomputed": "DPO, reference precomputed",
    "dpo, by means": "DPO by means",
    "ipo, by means": "IPO by means",
    "kto": "KTO",
    "simpo": "SimPO",
    "orpo": "ORPO",
}


def write(folder: Path) -> None:
    """Write a model, an adapter that has moved, pairs, and labels in TRL's order."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder / "model")
    write_tokenizer(folder / "model", VOCABULARY)
    loaded = opened(folder)
    tensors = loaded.roles.adapter_tensors(POLICY)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in tensors.items():
        if "lora_B" in name:
            tensor.normal_(0, 0.05, generator=generator)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "adapter.safetensors")
    rows = made()
    lines(folder / "pairs.jsonl", rows)
    labels = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": i % 3 > 0}
        for i, row in enumerate(rows)
    ]
    lines(folder / "labels.jsonl", labels[::-1])


def made() -> list[dict[str, Any]]:
    """Return pairs of random words, of ragged lengths."""
    generator = np.random.default_rng(0)

    def said(role: str, most: int) -> list[dict[str, str]]:
        count = generator.integers(1, most)
        drawn = generator.integers(0, VOCABULARY - len(SPECIALS), count)
        return [{"role": role, "content": " ".join(f"w{word}" for word in drawn)}]

    return [
        {
            "prompt": said("user", 12),
            "chosen": said("assistant", 20),
            "rejected": said("assistant", 20),
        }
        for _ in range(NUM_ROWS)
    ]


def lines(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def opened(folder: Path) -> LoadedModel:
    """Return the model with an adapter that has not moved."""
    loaded = load(
        str(folder / "model"),
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    loaded.roles.add_adapter(POLICY, AdapterSettings(rank=4, alpha=8), seed=0)
    return loaded


def trees(folder: Path) -> list[Tree]:
    """Return the pairs as trees."""
    chat = make_chat(load_tokenizer(folder / "model"))
    found = []
    for row in made():
        prompt = [Message("user", row["prompt"][0]["content"])]
        responses = [row[side][0]["content"] for side in ("chosen", "rejected")]
        item = chat.encode_comparison(prompt, responses, key=str(len(found)))
        found.append(replace(item, per_branch={"rank": np.array([1.0, 2.0])}))
    return found


def ours(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield the name and the value of each of upbring's losses."""
    from safetensors.torch import load_file  # noqa: PLC0415 -- beside its one use

    loaded = opened(folder)
    adapter = load_file(folder / "adapter.safetensors")
    with torch.no_grad():
        for name, tensor in loaded.roles.adapter_tensors(POLICY).items():
            tensor.copy_(adapter[name])

    def before(batch: Any) -> torch.Tensor:  # noqa: ANN401 -- a batch
        with loaded.roles.active(BASE):
            return score_tokens(loaded.model, batch).logprobs

    reference = ReferenceLogprobs(
        before,
        lambda some: make_micro_batches(loaded.model, some, 1000),
        ["parity"],
        folder,
        lambda _: None,
    )
    pairs = trees(folder)
    labelled = [
        replace(item, branches=item.branches[:1], per_branch={"good": np.array([float(i % 3 > 0)])})
        for i, item in enumerate(pairs)
    ]
    compared = reference.annotate_files(pairs)
    judged = reference.annotate_files(KtoTrees(labelled, 512))

    def loss(kind: type[PreferenceAlgorithm], data: Any, **fields: Any) -> dict[str, float]:  # noqa: ANN401 -- each its own
        algorithm = kind(
            model=loaded.model,
            active=lambda: loaded.roles.active(POLICY),
            trainable=[],
            stream=Stream(data, (), 0, 1.0, NUM_ROWS),
            steps=1,
            held_out=(),
            micro_tokens=200,
            sample_responses=list,
            **fields,
        )
        return accumulate(algorithm, next(iter(algorithm.batches(0))))

    dpo = loss(Dpo, compared, beta=0.1)["loss"]
    yield "dpo", dpo
    yield "dpo, precomputed", dpo
    yield "dpo, by means", loss(Dpo, compared, beta=5.0, is_normalised=True)["loss"]
    yield "ipo, by means", loss(Ipo, compared, beta=0.7, is_normalised=True)["loss"]
    kto = loss(Kto, judged, beta=0.2)
    assert kto["kl_estimate"] > 0, "what is compared should not be held at 0"
    yield "kto", kto["loss"]
    yield "simpo", loss(Simpo, compared, beta=2.5, gamma=1.4)["loss"]
    orpo = loss(Orpo, compared, beta=0.3)
    yield "orpo", orpo["loss"] - orpo["nll"] + with_prompts(loaded, pairs)


@torch.no_grad()
def with_prompts(loaded: LoadedModel, pairs: Sequence[Tree]) -> float:
    """Return the mean next-token loss of the preferred responses and of their prompts."""
    whole = [
        make_tree(t.prompt[:1], [*t.prompt[1:].tolist(), *t.branches[0].tokens.tolist()])
        for t in pairs
    ]
    with loaded.roles.active(POLICY):
        every = [
            score_tokens(loaded.model, batch).logprobs
            for batch in make_micro_batches(loaded.model, whole, 200)
        ]
    return -float(torch.cat(every).mean())


@contextmanager
def prepared() -> Iterator[Path]:
    """Yield a folder with the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        yield Path(folder)


def compared(python: Path) -> dict[str, tuple[float, float]]:
    """Return each loss by TRL and by upbring."""
    program = Path(__file__).with_name("trl_preference.py")
    with prepared() as folder:
        environment = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HF_HOME": str(folder)}
        process = subprocess.run(
            [python, program, folder], check=False, capture_output=True, text=True, env=environment
        )
        if process.returncode != 0:
            sys.exit(f"TRL failed:\n{process.stderr[-4000:]}")
        theirs = json.loads(process.stdout.splitlines()[-1])
        mine = dict(ours(folder))
    assert mine.keys() == theirs.keys(), f"{sorted(mine)} against {sorted(theirs)}"
    return {name: (theirs[name], mine[name]) for name in theirs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    add_record_flag(parser)
    given = parser.parse_args()
    found = compared(given.trl_python or trl_python())
    print("| loss | TRL | upbring | difference |\n|---|---|---|---|")
    for name, (trl, mine) in found.items():
        print(f"| {name} | {trl:.6f} | {mine:.6f} | {abs(trl - mine):.0e} |")
    if given.record:
        record(
            Figure(
                question="parity of losses",
                metric="loss difference",
                value=float(f"{abs(trl - mine):.1e}"),
                unit="loss",
                model=LOSSES[name],
                precision="float32",
                n=NUM_ROWS,
            )
            for name, (trl, mine) in found.items()
        )
    if (most := max(abs(trl - mine) for trl, mine in found.values())) > TOLERANCE:
        sys.exit(f"they differ by {most:.1e}")

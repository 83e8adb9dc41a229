"""What an export must compute, and the comparison with plain transformers or peft.

The other side runs in a process of its own, which does not import upbring (`plain_outputs.py`).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from upbring.data.chat.chat import make_chat
from upbring.data.read.records import Message
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import ResourceError, UpbringError
from upbring.export import plain_outputs
from upbring.maths import counter_rng
from upbring.model.heads import rewards
from upbring.model.load import LoadedModel
from upbring.model.network import hidden_states
from upbring.model.roles import BASE
from upbring.model.score import compute_logits, score_tokens

Reader = Literal["transformers", "peft", "mlx-lm"]

PROMPTS = (
    "Hello!",
    "What is the capital of France?",
    "2 + 2 =",
    "Schreibe ein kurzes Gedicht über den Frühling.",
    "def fibonacci(n):\n    ",
    "List three colors:\n1.",
    "今天天气怎么样?",
    "Is it safe to eat snow?  Why?",
)
NUM_RANDOM = 16  # random tokens after each prompt: most of a vocabulary is in no prompt
MAX_PROMPT = 40
# Largest difference of a log-probability or score, in float32: sums in another order.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class ExpectedOutputs:
    """What upbring computes for the prompts, each continued with random tokens."""

    prompts: list[list[int]]  # their tokens; empty without a tokenizer
    has_template: bool
    is_reward: bool
    sequences: list[list[int]]
    outputs: list[Tensor]  # per sequence log-probabilities [T − 1 + V], or a score [1]

    def difference(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the absolute differences from other outputs, of all sequences together."""
        pairs = zip(self.outputs, outputs, strict=True)
        return torch.cat([(a - b).abs().flatten() for a, b in pairs])


@torch.no_grad()
def compute_expected(loaded: LoadedModel) -> ExpectedOutputs:
    """Return the outputs of a model in memory; a reward model's head is that of the base role."""
    contract, is_reward = loaded.contract, loaded.head is not None
    template = contract.template if contract else None
    prompts = _encode_prompts(loaded, template)
    stop = [contract.stops[0].token] if is_reward and contract and contract.stops else []
    sequences = [
        [*prompt[:MAX_PROMPT], *tokens, *stop]
        for prompt, tokens in zip(
            prompts or [[] for _ in PROMPTS], _random_tokens(loaded), strict=True
        )
    ]
    batch = make_batch([make_tree(tokens[:1], tokens[1:]) for tokens in sequences])
    if is_reward:
        scores = rewards(loaded.model, loaded.roles.heads[BASE], batch)  # [N]
        outputs = [*scores.float()[:, None]]
    else:
        sizes = [len(each) - 1 for each in sequences]
        logprobs = torch.split(score_tokens(loaded.model, batch).logprobs, sizes)
        last = hidden_states(loaded.model, batch)[batch.last_index]  # [N, D]
        after = compute_logits(loaded.model, last).log_softmax(-1)  # [N, V]
        outputs = [torch.cat(pair) for pair in zip(logprobs, after, strict=True)]
    return ExpectedOutputs(prompts, template is not None, is_reward, sequences, outputs)


def _encode_prompts(loaded: LoadedModel, template: str | None) -> list[list[int]]:
    if loaded.tokenizer is None:
        return []
    if template is None:
        return [loaded.tokenizer.encode(text) for text in PROMPTS]
    chat = make_chat(loaded.tokenizer, template=template)
    return [chat.encode_prompt([Message("user", text)]) for text in PROMPTS]


def _random_tokens(loaded: LoadedModel) -> list[list[int]]:
    """Return different tokens for each prompt."""
    permutations = [
        counter_rng.permutation(counter_rng.key("export", i), loaded.model.vocab_size)
        for i in range(len(PROMPTS))
    ]
    return [each[:NUM_RANDOM].tolist() for each in permutations]


def check_export(
    folder: Path,
    expected: ExpectedOutputs,
    *,
    library: Reader,
    target: Path,
    base: Path | None = None,
) -> float:
    """Return the largest difference of an export's outputs; raise if it is too large.

    `target` is the folder's later name, `base` the weights that an adapter belongs to.
    """
    with tempfile.TemporaryDirectory() as temporary:
        job = {
            "folder": str(folder.absolute()),
            "base": None if base is None else str(base.absolute()),
            "library": library,
            "is_reward": expected.is_reward,
            "sequences": expected.sequences,
            "texts": PROMPTS if expected.prompts and not expected.has_template else (),
            "dialogues": [[{"role": "user", "content": text}] for text in PROMPTS]
            if expected.prompts and expected.has_template
            else (),
            "to": temporary,
        }
        _run_plain([job], Path(temporary), library=library, target=target)
        return compare(Path(temporary), expected, library=library, target=target)


def _run_plain(jobs: Sequence[object], folder: Path, *, library: Reader, target: Path) -> None:
    """Compute the outputs of the jobs in a process without upbring."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs), encoding="utf-8")
    result = subprocess.run(  # noqa: S603 -- a program of ours
        [sys.executable, "-P", plain_outputs.__file__, str(file)],
        cwd=folder,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode < 0:
        raise ResourceError(
            f"{target}: {library} was killed by signal {-result.returncode} while it checked the "
            "export, probably out of memory, so the export was deleted; close other programs"
        )
    if result.returncode > 0:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UpbringError(
            f"{target}: {library} cannot load the export ({reason}), so it was deleted; please "
            "report this"
        )


def compare(folder: Path, expected: ExpectedOutputs, *, library: Reader, target: Path) -> float:
    """Return the largest difference of the outputs in `folder`; raise if it is too large."""
    tokens = json.loads((folder / plain_outputs.TOKENS).read_text(encoding="utf-8"))
    for text, ours, theirs in zip(PROMPTS, expected.prompts, tokens, strict=bool(tokens)):
        if ours != theirs:
            raise UpbringError(
                f"{target}: {text!r} has the tokens {theirs[:20]} in transformers, and {ours[:20]} "
                "in upbring, so the export was deleted; please report this"
            )
    outputs = load_file(folder / plain_outputs.TENSORS)
    difference = expected.difference([outputs[str(i)] for i in range(len(outputs))])
    largest = float(difference.max())
    if not largest <= TOLERANCE:
        raise UpbringError(
            f"{target}: the export differs from the run's model by {largest:.2g} in a "
            f"log-probability or score in {library} (limit {TOLERANCE:g}), so it was deleted; "
            "please report this"
        )
    return largest

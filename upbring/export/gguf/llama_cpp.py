"""llama.cpp's tokens and greedy continuations of a GGUF file, if `xllamacpp` is installed."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from upbring.errors import UpbringError

PROGRAM = "upbring.export.gguf.llama_cpp_program"
TOP = 10  # log-probabilities that are compared at each step
LARGE = 2_000_000_000  # bytes; below, threads that wait for each other cost more than they save


@dataclass(frozen=True)
class Continuation:
    """A greedy continuation, and the best log-probabilities by token at each step."""

    tokens: list[int]
    top: list[dict[int, float]]
    is_stopped: bool  # by a token that ends the text, which is not among the tokens


@dataclass(frozen=True)
class Answers:
    """What llama.cpp makes of a file."""

    tokens: list[list[int]]  # of each text
    with_special: list[int]  # of the text "a", with what it adds by itself
    continuations: list[Continuation]


def is_installed() -> bool:
    """Whether llama.cpp can be asked."""
    return find_spec("xllamacpp") is not None


def ask_llama_cpp(
    path: Path, *, texts: Sequence[str], prompts: Sequence[Sequence[int]], num_tokens: int
) -> Answers:
    """Return llama.cpp's answers; raise if it cannot load the file."""
    request = {
        "model": str(path),
        "threads": torch.get_num_threads() if path.stat().st_size > LARGE else 1,
        "texts": [*texts],
        "prompts": [[*prompt] for prompt in prompts],
        "tokens": num_tokens,
        "top": TOP,
    }
    result = subprocess.run(  # noqa: S603 -- this interpreter and a module of ours
        [sys.executable, "-m", PROGRAM],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    lines = result.stdout.strip().splitlines()
    if result.returncode or not lines:
        reason = next((x for x in result.stderr.splitlines() if "error" in x.lower()), "no answer")
        raise UpbringError(
            f"{path}: llama.cpp cannot load the file ({reason.strip()[:200]}); please report this"
        )
    answers = json.loads(lines[-1])
    continuations = [
        Continuation(
            each["tokens"],
            [{int(token): value for token, value in step.items()} for step in each["top"]],
            each["is_stopped"],
        )
        for each in answers["continuations"]
    ]
    return Answers(answers["tokens"], answers["with_special"], continuations)

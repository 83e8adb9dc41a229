"""Hostile values in a model's JSON files: one line that names the cause, or it works."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests import small
from tests.conftest import Figure, trials
from tests.mutations import Mutation, drawn, mutated, named
from upbring.data.chat.chat import make_chat
from upbring.data.read.records import Message
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.model.load import load
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.runs.contract import Contract, StopToken, write_contract
from upbring.settings.sampling import SampleSettings

MAX_SECONDS = 5


@pytest.fixture(scope="module")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an adapter, a tokenizer, and a contract, on a tiny Llama."""
    base = small.make_model(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("adapter") / "model"
    network = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with full weights and every JSON file that a model may have."""
    folder = small.make_model(tmp_path_factory.mktemp("full") / "model")
    contract = Contract(
        base="here",
        base_sha256="0" * 64,
        tokenizer="0" * 64,
        template=None,
        stops=(StopToken(0, "<|endoftext|>"),),
        bos=0,
        eos=0,
        kind="sft",
        tune="full",
    )
    write_contract(folder / "contract.json", contract)
    return folder


@contextmanager
def interrupted_after(seconds: int) -> Iterator[None]:
    """Raise a TimeoutError in the block after some seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def use(folder: Path) -> None:
    """Load a model, and encode, score and sample a text with it, as every command does."""
    device = torch.device("cpu")
    found = load(str(folder), device=device, compute_dtype=torch.float32, log=lambda _: None)
    assert found.tokenizer is not None
    template = None if found.contract is None else found.contract.template
    chat = make_chat(found.tokenizer, template=template)
    prompt = chat.encode_prompt((Message("user", "What is the sky like? aaaaaaaaaaaaaaaaaaaab"),))
    with torch.no_grad():
        score_tokens(found.model, make_batch([make_tree(prompt, prompt[:4])]).to(device))
    responses = sample(
        found.model,
        [Request(prompt, (1,))],
        SampleSettings(max_tokens=2),
        stopping=StopConditions(),
    )
    found.tokenizer.decode(responses[0].tokens)


def outcome(folder: Path) -> str:
    """Return what happened: works, refused, or what was wrong with the refusal."""
    started = time.monotonic()
    try:
        with interrupted_after(2 * MAX_SECONDS):
            use(folder)
        found = "works"
    except InputError as error:
        message = str(error)
        found = "refused" if "\n" not in message.strip() else f"several lines: {message!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        found = f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.monotonic() - started
    return found if seconds <= MAX_SECONDS else f"{found}, after {seconds:.1f} s"


def outcomes(folder: Path, mutations: list[Mutation], scratch: Path) -> dict[str, str]:
    return {
        str(mutation): outcome(mutated(folder, mutation, scratch / str(number)))
        for number, mutation in enumerate(mutations)
    }


def chosen(folder: Path, count: int) -> list[Mutation]:
    """Return `count` mutations at random places, and as many of the difficult ones or all."""
    files = {path.name for path in folder.glob("*.json")} | {"model.safetensors.index.json"}
    difficult = [each for each in named() if each.file in files]
    step = max(1, len(difficult) // count)
    return [*difficult[::step], *drawn(folder, count)]


@pytest.mark.parametrize("kind", ["base", "adapter"])
def test_every_hostile_value_is_refused_in_one_line_or_works(
    base_folder: Path, adapter_folder: Path, tmp_path: Path, figure: Figure, kind: str
) -> None:
    folder = base_folder if kind == "base" else adapter_folder
    started = time.monotonic()
    found = outcomes(folder, chosen(folder, trials(8, 400)), tmp_path)
    bad = {name: each for name, each in found.items() if each not in {"works", "refused"}}
    assert not bad, "\n".join(f"{name}: {each}" for name, each in bad.items())
    counts = Counter(found.values())
    assert counts["refused"] > len(found) // 5
    figure(f"hostile files, {kind}", f"{dict(counts)} in {time.monotonic() - started:.0f} s")

"""A run as a model that other tools load as it stands, checked before success is reported."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from upbring import durable
from upbring.data.batch import make_batch
from upbring.data.trees import tree
from upbring.errors import InputError, UpbringError
from upbring.export.weights import write_adapter, write_network
from upbring.maths import draws
from upbring.model.load import Loaded, load
from upbring.model.network import Model
from upbring.model.score import score
from upbring.runs.contract import Contract

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Largest difference of a log-probability between the model here and the model as others load it.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}
NUM_PROMPTS = 8


def export_merged(
    name: str, target: Path, *, dtype: torch.dtype, notice: Callable[[str], None]
) -> float:
    """Write the whole model to `target`; return by how much it differs as transformers loads it."""
    loaded = _loaded(name, target, notice=notice)
    expected = _logprobs(loaded.model)
    with durable.folder(target) as folder:
        write_network(loaded, folder, contract=_contract(loaded), dtype=dtype)
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
        return _checked(network, expected, dtype, target)


def export_adapter(name: str, target: Path, *, notice: Callable[[str], None]) -> float:
    """Write the adapter alone to `target`; return by how much it differs as peft loads it."""
    loaded = _loaded(name, target, notice=notice)
    if not loaded.is_exact:
        raise InputError(
            f"{name}: its adapter is a DoRA, which peft loads as it stands from {loaded.folder}; "
            "copy that directory, or export it with --kind merged"
        )
    if not loaded.factors:
        raise InputError(
            f"{name}: is a whole model without an adapter; export it with --kind merged"
        )
    expected = _logprobs(loaded.model)
    factors = loaded.factors
    bare = load(str(loaded.base), device=torch.device("cpu"), compute=torch.float32, notice=notice)
    bare.tokenizer, bare.base = loaded.tokenizer, loaded.base
    bare.roles.add_factors("policy", factors)
    with durable.folder(target) as folder:
        write_adapter(bare, "policy", folder, contract=_contract(loaded))
        base = AutoModelForCausalLM.from_pretrained(loaded.base, local_files_only=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers the old way
            network = PeftModel.from_pretrained(base, folder)
        return _checked(network, expected, torch.float32, target)


def _loaded(name: str, target: Path, *, notice: Callable[[str], None]) -> Loaded:
    if target.exists():
        raise InputError(f"{target}: exists already; choose another --to")
    with durable.explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    return load(name, device=torch.device("cpu"), compute=torch.float32, notice=notice)


def _contract(loaded: Loaded) -> Contract:
    if loaded.contract is None:
        raise InputError(
            f"{loaded.folder}: was not made by upbring and needs no export; copy it as it is"
        )
    return loaded.contract


def _texts(model: Model) -> list[list[int]]:
    """Return eight texts of random tokens to compare models on."""
    return [
        draws.order(draws.key("export", i), model.vocabulary)[:24].tolist()
        for i in range(NUM_PROMPTS)
    ]


@torch.no_grad()
def _logprobs(model: Model) -> torch.Tensor:
    batch = make_batch([tree(text[:1], text[1:]) for text in _texts(model)])
    return score(model, batch).logprobs


@torch.no_grad()
def _checked(
    network: torch.nn.Module, expected: torch.Tensor, dtype: torch.dtype, target: Path
) -> float:
    """Return the largest difference to what was expected, or refuse to publish the export."""
    network.eval()
    vocabulary = Model(network).vocabulary
    found = []
    for i in range(NUM_PROMPTS):
        tokens = draws.order(draws.key("export", i), vocabulary)[:24]
        every = network(input_ids=tokens[None]).logits[0].float().log_softmax(-1)
        found.append(every[:-1].gather(-1, tokens[1:, None]).squeeze(-1))
    difference = float((torch.cat(found) - expected).abs().max())
    if not difference <= TOLERANCE[dtype]:
        raise UpbringError(
            f"{target}: the exported model differs from the run's by {difference:.2g} in a "
            "log-probability, so it was not kept; please report this"
        )
    return difference

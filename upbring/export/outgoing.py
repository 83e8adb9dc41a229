"""A run as a model that other tools load as it stands, checked before success is reported."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from upbring import durable
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import tree
from upbring.errors import InputError, UpbringError
from upbring.export.weights import write_adapter, write_network
from upbring.maths import counter_rng
from upbring.model.heads import rewards
from upbring.model.load import Loaded, load
from upbring.model.roles import BASE
from upbring.model.score import score
from upbring.runs.contract import Contract

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Largest difference of a log-probability or a score between the model here and as others load it.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}
NUM_PROMPTS = 8

Expected = list[tuple[list[int], Tensor]]


def export_merged(
    name: str, target: Path, *, dtype: torch.dtype, notice: Callable[[str], None]
) -> float:
    """Write the whole model to `target`; return by how much it differs as transformers loads it."""
    loaded = _loaded(name, target, notice=notice)
    expected = _expected(loaded)
    with durable.folder(target) as folder:
        write_network(loaded, folder, contract=_contract(loaded), dtype=dtype)
        network = _read(folder, loaded, dtype=dtype)
        return _checked(network, expected, dtype, target, is_reward=loaded.head is not None)


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
    expected = _expected(loaded)
    factors = loaded.factors
    bare = load(str(loaded.base), device=torch.device("cpu"), compute=torch.float32, notice=notice)
    bare.tokenizer, bare.base = loaded.tokenizer, loaded.base
    bare.roles.add_factors("policy", factors)
    if loaded.head is not None:
        bare.roles.add_head("policy", loaded.head)
    with durable.folder(target) as folder:
        write_adapter(bare, "policy", folder, contract=_contract(loaded))
        base = _read(loaded.base, loaded)
        if loaded.head is not None:
            base.config.pad_token_id = None  # the rows are read one at a time
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers the old way
            network = PeftModel.from_pretrained(base, folder)
        is_reward = loaded.head is not None
        return _checked(network, expected, torch.float32, target, is_reward=is_reward)


def _loaded(name: str, target: Path, *, notice: Callable[[str], None]) -> Loaded:
    if target.exists():
        raise InputError(f"{target}: exists already; choose another --to")
    with durable.explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    loaded = load(name, device=torch.device("cpu"), compute=torch.float32, notice=notice)
    if loaded.head is not None:
        loaded.roles.add_head(BASE, loaded.head)
    return loaded


def _read(folder: Path, like: Loaded, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return a directory's model as transformers loads it: a language model, or a classifier."""
    kind, more = AutoModelForCausalLM, {}
    if like.head is not None:
        kind, more = AutoModelForSequenceClassification, {"num_labels": 1}
    network: PreTrainedModel = kind.from_pretrained(
        folder, dtype=dtype, local_files_only=True, **more
    )
    return network


def _contract(loaded: Loaded) -> Contract:
    if loaded.contract is None:
        raise InputError(
            f"{loaded.folder}: was not made by upbring and needs no export; copy it as it is"
        )
    return loaded.contract


@torch.no_grad()
def _expected(loaded: Loaded) -> Expected:
    """Return eight texts of random tokens, and what the model here says of each.

    That is the log-probability of every token but the first, or a reward model's score; then the
    text ends as answers do.
    """
    order = [
        counter_rng.order(counter_rng.key("export", i), loaded.model.vocabulary)
        for i in range(NUM_PROMPTS)
    ]
    texts = [each[:24].tolist() for each in order]
    if loaded.head is not None:
        texts = [[*text[:-1], _contract(loaded).stops[0].token] for text in texts]
    batch = make_batch([tree(text[:1], text[1:]) for text in texts])
    if loaded.head is not None:
        said = torch.chunk(rewards(loaded.model, loaded.roles.heads[BASE], batch), NUM_PROMPTS)
    else:
        said = torch.chunk(score(loaded.model, batch).logprobs, NUM_PROMPTS)
    return list(zip(texts, said, strict=True))


@torch.no_grad()
def _checked(
    network: nn.Module, expected: Expected, dtype: torch.dtype, target: Path, *, is_reward: bool
) -> float:
    """Return the largest difference to what was expected, or refuse to publish the export."""
    network.eval()
    worst = 0.0
    for text, ours in expected:
        tokens = torch.tensor([text])
        theirs = network(input_ids=tokens).logits[0].float()  # [T, V], or a score [1]
        if not is_reward:
            theirs = theirs.log_softmax(-1)[:-1].gather(-1, tokens[0, 1:, None]).squeeze(-1)
        worst = max(worst, float((theirs - ours).abs().max()))
    if not worst <= TOLERANCE[dtype]:
        raise UpbringError(
            f"{target}: the exported model differs from the run's by {worst:.2g} in a "
            "log-probability or score, so it was not kept; please report this"
        )
    return worst

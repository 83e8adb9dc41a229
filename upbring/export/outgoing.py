"""Exports a run as a model for other tools, and checks the result before it is kept."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from upbring import durable
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError, UpbringError
from upbring.export.weights import write_adapter, write_network
from upbring.maths import counter_rng
from upbring.model.heads import rewards
from upbring.model.load import LoadedModel, load
from upbring.model.roles import BASE
from upbring.model.score import score_tokens
from upbring.runs.contract import Contract
from upbring.tracking import Track, no_tracking, track_call

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Maximum difference of a log-probability or score between upbring and transformers or peft.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}
NUM_PROMPTS = 8
CPU = torch.device("cpu")

ExpectedOutputs = list[tuple[list[int], Tensor]]


def export_merged(
    name: str,
    target: Path,
    *,
    dtype: torch.dtype,
    log: Callable[[str], None],
    track: Track = no_tracking,
) -> float:
    """Write the merged model to `target`; return the largest difference in transformers."""
    loaded = _load_for_export(name, target, log=log, track=track)

    def write_and_check() -> float:
        expected = _compute_expected(loaded)
        with durable.atomic_folder(target) as folder:
            write_network(loaded, folder, contract=_require_contract(loaded), dtype=dtype)
            network = _load_with_transformers(folder, loaded, dtype=dtype)
            is_reward = loaded.head is not None
            return _check_exported(network, expected, dtype, target, is_reward=is_reward)

    return track_call(track, f"writing and checking {target}", write_and_check)


def export_adapter(
    name: str, target: Path, *, log: Callable[[str], None], track: Track = no_tracking
) -> float:
    """Write only the adapter to `target`; return the largest difference in peft."""
    loaded = _load_for_export(name, target, log=log, track=track)
    if not loaded.has_exact_factors:
        raise InputError(
            f"{name}: its adapter is a DoRA, which peft loads directly from {loaded.folder}; "
            "copy that directory, or export it with --kind merged"
        )
    if not loaded.factors:
        raise InputError(
            f"{name}: is a full model without an adapter; export it with --kind merged"
        )
    return track_call(
        track, f"writing and checking {target}", partial(_write_adapter, loaded, target, log, track)
    )


def _write_adapter(
    loaded: LoadedModel, target: Path, log: Callable[[str], None], track: Track
) -> float:
    """Write the adapter of a loaded model; return the largest difference in peft."""
    expected = _compute_expected(loaded)
    factors = loaded.factors
    unadapted = load(
        str(loaded.base), device=CPU, compute_dtype=torch.float32, log=log, track=track
    )
    unadapted.tokenizer, unadapted.base = loaded.tokenizer, loaded.base
    unadapted.roles.add_factors("policy", factors)
    if loaded.head is not None:
        unadapted.roles.add_head("policy", loaded.head)
    with durable.atomic_folder(target) as folder:
        contract = _require_contract(loaded)
        base_name = portable_name(contract.base)
        write_adapter(unadapted, "policy", folder, contract=contract, base_name=base_name)
        plain_base = _load_with_transformers(loaded.base, loaded)
        if loaded.head is not None:
            plain_base.config.pad_token_id = None  # the check uses batches of one row
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses a deprecated argument
            network = PeftModel.from_pretrained(plain_base, folder)
        is_reward = loaded.head is not None
        return _check_exported(network, expected, torch.float32, target, is_reward=is_reward)


def portable_name(base: str) -> str:
    """Return the name of a base without the folders of this machine.

    >>> portable_name("/home/eva/models/base"), portable_name("Qwen/Qwen2.5-0.5B")
    ('base', 'Qwen/Qwen2.5-0.5B')
    """
    is_path = Path(base).is_absolute() or base.startswith(("~", ".."))
    return Path(base).name if is_path else base


def _load_for_export(
    name: str, target: Path, *, log: Callable[[str], None], track: Track
) -> LoadedModel:
    if target.exists():
        raise InputError(f"{target}: already exists; choose another --to")
    with durable.explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    loaded = load(name, device=CPU, compute_dtype=torch.float32, log=log, track=track)
    if loaded.head is not None:
        loaded.roles.add_head(BASE, loaded.head)
    return loaded


def _load_with_transformers(
    folder: Path, loaded: LoadedModel, *, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Return a directory's model in transformers: a language model or a classifier."""
    model_class, kwargs = AutoModelForCausalLM, {}
    if loaded.head is not None:
        model_class, kwargs = AutoModelForSequenceClassification, {"num_labels": 1}
    network: PreTrainedModel = model_class.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, **kwargs
    )
    return network


def _require_contract(loaded: LoadedModel) -> Contract:
    if loaded.contract is None:
        raise InputError(
            f"{loaded.folder}: was not trained by upbring and needs no export; copy the folder"
        )
    return loaded.contract


@torch.no_grad()
def _compute_expected(loaded: LoadedModel) -> ExpectedOutputs:
    """Return eight sequences of random tokens with this model's output for each.

    The output is the log-probability of every token except the first, or a reward model's score;
    a sequence for a reward model ends with the stop token.
    """
    permutations = [
        counter_rng.permutation(counter_rng.key("export", i), loaded.model.vocab_size)
        for i in range(NUM_PROMPTS)
    ]
    sequences = [each[:24].tolist() for each in permutations]
    if loaded.head is not None:
        sequences = [
            [*sequence[:-1], _require_contract(loaded).stops[0].token] for sequence in sequences
        ]
    batch = make_batch([make_tree(text[:1], text[1:]) for text in sequences])
    if loaded.head is not None:
        outputs = torch.chunk(rewards(loaded.model, loaded.roles.heads[BASE], batch), NUM_PROMPTS)
    else:
        outputs = torch.chunk(score_tokens(loaded.model, batch).logprobs, NUM_PROMPTS)
    return list(zip(sequences, outputs, strict=True))


@torch.no_grad()
def _check_exported(
    network: nn.Module,
    expected: ExpectedOutputs,
    dtype: torch.dtype,
    target: Path,
    *,
    is_reward: bool,
) -> float:
    """Return the largest difference from the expected outputs; raise if it is too large."""
    network.eval()
    max_difference = 0.0
    for sequence, expected_output in expected:
        tokens = torch.tensor([sequence])
        output = network(input_ids=tokens).logits[0].float()  # [T, V], or a score [1]
        if not is_reward:
            output = output.log_softmax(-1)[:-1].gather(-1, tokens[0, 1:, None]).squeeze(-1)
        max_difference = max(max_difference, float((output - expected_output).abs().max()))
    if not max_difference <= TOLERANCE[dtype]:
        raise UpbringError(
            f"{target}: the exported model differs from the run's model by {max_difference:.2g} in "
            f"a log-probability or score (limit {TOLERANCE[dtype]:g}), so the export was deleted; "
            "please report this"
        )
    return max_difference

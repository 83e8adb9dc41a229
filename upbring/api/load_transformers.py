"""A run's model as plain objects of transformers: adapters are merged into their base."""

import warnings
from typing import TYPE_CHECKING

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from upbring.errors import InputError
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import (
    ADAPTER_HEAD_NAME,
    adapter_chain,
    adapter_tensors,
    is_classifier,
    weights_sha256,
)
from upbring.runs.contract import read_contract

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16}


def load_transformers(
    name: str, *, dtype: str
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Return the model and the tokenizer of a run or a model folder."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    folder = locate_model(name)
    base, adapters = adapter_chain(folder)
    contract_file = folder / "contract.json"
    if adapters and contract_file.is_file():
        expected, found = read_contract(contract_file).base_sha256, weights_sha256(base)
        if expected != found:
            raise InputError(
                f"{folder}: was trained on weights {expected[:12]}, but {base} has {found[:12]}; "
                "restore the original base there"
            )
    has_head = is_classifier(base) or any(
        ADAPTER_HEAD_NAME in adapter_tensors(each) for each in adapters
    )
    kwargs = {"num_labels": 1} if has_head else {}
    model_class = AutoModelForSequenceClassification if has_head else AutoModelForCausalLM
    network = model_class.from_pretrained(
        base, dtype=DTYPES[dtype], local_files_only=True, use_safetensors=True, **kwargs
    )
    for adapter in reversed(adapters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses a deprecated argument
            network = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if has_head and network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id
    model: PreTrainedModel = network.eval()
    return model, tokenizer

"""Converts a full reward model to a transformers classifier with one class; its logit is the score.

transformers reads the logit at the last token that is not padding. If the padding token were also a
stop token, it would read one token too early. So the padding token is never a stop token, and a
tokenizer without another special token gets a new one.
"""

import copy
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's usual short name
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from upbring.data.chat.tokenizer import PAD_TOKEN, Tokenizer
from upbring.errors import InputError
from upbring.model.load import CLASSIFIER_HEAD_NAME

_PADDING_ROLES = ("pad_token", "unk_token", "bos_token")


@dataclass(frozen=True, slots=True)
class Padding:
    """The padding token's id and text."""

    token_id: int
    text: str


def choose_padding(tokenizer: Tokenizer, stop_token_ids: Collection[int]) -> Padding:
    """Return a padding token that is no stop token: the tokenizer's, another special, or new."""
    end_token_ids = {*stop_token_ids, tokenizer.eos_token_id}
    candidates = [
        tokenizer.special_tokens_map[name]
        for name in _PADDING_ROLES
        if name in tokenizer.special_tokens_map
    ]
    for text in [*candidates, *tokenizer.special_token_ids]:
        token_id = tokenizer.special_token_ids.get(text)
        if token_id is not None and token_id not in end_token_ids:
            return Padding(token_id, text)
    return Padding(tokenizer.size, PAD_TOKEN)


def write_padding(folder: Path, pad: Padding) -> None:
    """Set the padding token of the tokenizer in `folder`."""
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    if backend.token_to_id(pad.text) is None:
        backend.add_special_tokens([tokenizers.AddedToken(pad.text, normalized=False)])
        assert backend.token_to_id(pad.text) == pad.token_id, f"{pad.text} got another id"
        path.write_text(backend.to_str(pretty=True), encoding="utf-8", newline="")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            config = json.loads((folder / name).read_text(encoding="utf-8"))
            text = json.dumps({**config, "pad_token": pad.text}, indent=2, ensure_ascii=False)
            (folder / name).write_text(text + "\n", encoding="utf-8", newline="")


def has_classifier(network: PreTrainedModel) -> bool:
    """Whether transformers has a sequence classifier for the network's architecture."""
    return type(network.config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING


def make_classifier(
    network: PreTrainedModel, head: Tensor, pad_token_id: int, *, dtype: torch.dtype
) -> PreTrainedModel:
    """Return the network's current weights as a classifier with the head `[1, D]`."""
    if not has_classifier(network):
        raise InputError(
            f"--tune full: transformers has no classifier for {network.config.model_type}, so a "
            "full reward model could not be loaded there; use --tune lora"
        )
    config = copy.deepcopy(network.config)
    config.num_labels, config.pad_token_id, config.dtype = 1, pad_token_id, dtype
    text_config = config.get_text_config()
    text_config.vocab_size = max(text_config.vocab_size, pad_token_id + 1)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    state = {**network.state_dict(), CLASSIFIER_HEAD_NAME: head}
    tensors = {name: state[name].detach().to(dtype) for name in model.state_dict()}
    embedding = model.get_input_embeddings().weight
    for name in [n for n, p in model.named_parameters() if p is embedding]:
        tensors[name] = F.pad(tensors[name], (0, 0, 0, text_config.vocab_size - len(tensors[name])))
    model.load_state_dict(tensors, assign=True)
    return model

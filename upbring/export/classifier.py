"""A whole reward model as transformers' classifier of one class, whose logit is the score.

transformers reads the logit at the last token that is no padding: where the token that pads is one
that ends an answer too, it reads one token too early. So what pads never ends an answer, and a
tokenizer that has no other control token gets one.
"""

import copy
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from upbring.data.chat.tokenizer import PAD, Tokenizer
from upbring.errors import InputError
from upbring.model.load import CLASSIFIER_HEAD

_NAMES = ("pad_token", "unk_token", "bos_token")


@dataclass(frozen=True, slots=True)
class Padding:
    """The token that fills up the rows of others' batches, and its spelling."""

    token: int
    text: str


def padding(tokenizer: Tokenizer, stops: Collection[int]) -> Padding:
    """Return a control token that ends no answer: the tokenizer's own, another, or a new one."""
    ends = {*stops, tokenizer.eos}
    named = [tokenizer.names[name] for name in _NAMES if name in tokenizer.names]
    for text in [*named, *tokenizer.specials]:
        token = tokenizer.specials.get(text)
        if token is not None and token not in ends:
            return Padding(token, text)
    return Padding(tokenizer.size, PAD)


def write_padding(folder: Path, pad: Padding) -> None:
    """Let the tokenizer in `folder` pad with `pad`."""
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    if backend.token_to_id(pad.text) is None:
        backend.add_special_tokens([tokenizers.AddedToken(pad.text, normalized=False)])
        assert backend.token_to_id(pad.text) == pad.token, f"{pad.text} has another place"
        path.write_text(backend.to_str(pretty=True), encoding="utf-8", newline="")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            text = json.dumps({**settings, "pad_token": pad.text}, indent=2, ensure_ascii=False)
            (folder / name).write_text(text + "\n", encoding="utf-8", newline="")


def has_classifier(network: PreTrainedModel) -> bool:
    """Whether transformers has a classifier of the network's architecture."""
    return type(network.config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING


def classifier(
    network: PreTrainedModel, head: Tensor, pad: int, *, dtype: torch.dtype
) -> PreTrainedModel:
    """Return the network as it is now with a head `[1, D]` instead of logits, ready to be saved."""
    if not has_classifier(network):
        raise InputError(
            f"--tune full: transformers has no classifier for {network.config.model_type}, so that "
            "others could not load the whole reward model; use --tune lora"
        )
    settings = copy.deepcopy(network.config)
    settings.num_labels, settings.pad_token_id, settings.dtype = 1, pad, dtype
    words = settings.get_text_config()
    words.vocab_size = max(words.vocab_size, pad + 1)
    with torch.device("meta"):
        made: PreTrainedModel = AutoModelForSequenceClassification.from_config(settings)
    state = {**network.state_dict(), CLASSIFIER_HEAD: head}
    kept = {name: state[name].detach().to(dtype) for name in made.state_dict()}
    embedded = made.get_input_embeddings().weight
    for name in [n for n, p in made.named_parameters() if p is embedded]:
        kept[name] = F.pad(kept[name], (0, 0, 0, words.vocab_size - len(kept[name])))
    made.load_state_dict(kept, assign=True)
    return made
